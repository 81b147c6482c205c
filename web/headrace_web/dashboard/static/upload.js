// Sends a file as it is, streamed by the browser, and shows how far it is.

const TYPES = { csv: "text/csv", zip: "application/zip", ndjson: "application/x-ndjson", jsonl: "application/x-ndjson", parquet: "application/vnd.apache.parquet" };
const NETWORKS = { keras: "application/vnd.keras+zip" };

function explain(request) {
  try {
    const problem = JSON.parse(request.responseText);
    return problem.errors?.map((error) => `${error.loc.at(-1)}: ${error.msg}`).join("; ") || problem.detail;
  } catch {
    return "The upload did not arrive; is the server running?";
  }
}

document.querySelectorAll("form[data-upload]").forEach((form) => {
  const bar = form.querySelector("progress"), said = form.querySelector("output"), button = form.querySelector("button");
  const say = (text, wrong) => {
    said.textContent = text;
    said.className = wrong ? "error" : "dim";
  };
  const end = (text) => {
    say(text, true);
    bar.hidden = true;
    button.disabled = false;
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const file = form.elements.file.files[0];
    const types = form.dataset.upload === "/models" ? NETWORKS : TYPES;
    const type = types[file.name.split(".").pop().toLowerCase()];
    if (!type) return end(`What is ${file.name}? Its name should end in ${Object.keys(types).map((end) => "." + end).join(", ")}.`);
    const request = new XMLHttpRequest();
    request.open("POST", `${form.dataset.upload}/${encodeURIComponent(form.elements.name.value)}/versions?filename=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Content-Type", type);
    request.setRequestHeader("X-Form-Token", form.elements.form_token.value);
    request.upload.onprogress = ({ loaded, total }) => {
      bar.value = total ? loaded / total : 1;
      say(loaded < total ? `${Math.round((100 * loaded) / total)} %` : "checking…");
    };
    request.onload = () => {
      if (request.status >= 300) return end(explain(request));
      const made = JSON.parse(request.responseText);
      location.assign(made.dataset ? `/datasets/${made.dataset}/versions/${made.version}` : `/jobs/${made.id}`);
    };
    request.onerror = () => end(explain(request));
    button.disabled = true;
    bar.hidden = false;
    say("0 %");
    request.send(file);
  });
});
