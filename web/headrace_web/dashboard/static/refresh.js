// Parts of a page that the server draws anew: those with data-refresh, every so many seconds, while looked at.

export async function redraw(...ids) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (answer.redirected) location.assign(answer.url);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ids) {
    const now = page.getElementById(id);
    const before = document.getElementById(id);
    // What has the focus stays where it is: nobody is interrupted.
    if (!now || !before || before.contains(document.activeElement)) continue;
    before.replaceWith(document.adoptNode(now));
  }
}

function keepFresh(part) {
  const id = part.id;
  const next = () => {
    const seconds = document.getElementById(id)?.dataset.refresh;
    if (seconds) setTimeout(tick, 1000 * seconds);
  };
  const tick = async () => {
    if (!document.hidden) await redraw(id).catch(() => {});
    next();
  };
  next();
}

document.querySelectorAll("[data-refresh]").forEach(keepFresh);
