// The rest of the form depends on the dataset and the algorithm: it is loaded again when they change, and what
// was typed stays. And nothing is submitted twice by a double click.

const form = document.querySelector("form[data-submit]");
const CHOOSERS = ["spec.dataset", "spec.algorithm"];

async function reload() {
  const query = new URLSearchParams({ kind: form.elements.kind.value });
  for (const name of [...CHOOSERS, "spec.model"]) query.set(name.replace("spec.", ""), form.elements[name]?.value ?? "");
  const answer = await fetch(`/jobs/new?${query}`, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("form[data-submit]");
  for (const [name, value] of new FormData(form)) {
    const field = fresh.elements[name];
    if (field && name !== "form_token") field.value = value;
  }
  const focused = document.activeElement?.id;
  form.replaceChildren(...document.adoptNode(fresh).childNodes);
  prepare();
  document.getElementById(focused)?.focus();
}

function prepare() {
  if (form.dataset.submit !== "train") return;
  for (const name of CHOOSERS) form.elements[name].addEventListener("change", reload);
}

form.addEventListener("submit", () => {
  form.querySelector("button.primary").disabled = true;
});
// A page that the browser brings back is ready to be sent again.
window.addEventListener("pageshow", () => {
  form.querySelector("button.primary").disabled = false;
});
document.getElementById("wrong")?.focus();
prepare();
