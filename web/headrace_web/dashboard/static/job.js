// One job, live: its events as they happen, from the first to the final state.

import { Curves } from "./curves.js";
import { redraw } from "./refresh.js";

const FINAL = ["succeeded", "failed", "cancelled"];
const LOG_CHARACTERS = 200_000;
const AGAIN_MS = 3000;

const live = document.getElementById("live");
const log = document.getElementById("log");
const curves = new Curves(document.getElementById("curves"));
let seen = 0, attempt = 0, source = null, ended = false;

const actions = {
  progress({ data }) {
    if (live.dataset.parts) redraw("facts").catch(() => {});
    const bar = document.getElementById("progress");
    if (!bar) return;
    bar.value = data.fraction;
    document.getElementById("percent").textContent = `${Math.round(100 * data.fraction)} %`;
    document.getElementById("message").textContent = data.message;
  },
  metric({ data }) {
    document.getElementById("curves-section").hidden = false;
    curves.add(data.name, data.step, data.value);
  },
  log({ data }) {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(data.text);
    log.normalize();
    if (log.textContent.length > LOG_CHARACTERS) log.textContent = log.textContent.slice(-LOG_CHARACTERS);
    if (atEnd) log.scrollTop = log.scrollHeight;
  },
  state({ data }) {
    ended = FINAL.includes(data.state);
    if (ended) source.close();
    // What the server drew already is not drawn again while the past is told.
    if (live.dataset.final !== "yes") redraw("facts").catch(() => {});
    if (ended) live.dataset.final = "yes";
  },
};

function take(message) {
  const event = JSON.parse(message.data);
  seen = event.seq;
  if (event.attempt > attempt) {
    if (attempt) curves.clear();
    attempt = event.attempt;
  }
  actions[event.type]?.(event);
}

function open() {
  source = new EventSource(`/jobs/${live.dataset.job}/events?after=${seen}`);
  for (const type of Object.keys(actions)) source.addEventListener(type, take);
  source.onerror = () => {
    // A broken stream is resumed by the browser itself; a refused one is not.
    if (source.readyState === EventSource.CLOSED && !ended) setTimeout(() => document.hidden || open(), AGAIN_MS);
  };
}

setInterval(() => {
  const running = document.querySelector("[data-since]");
  if (!running) return;
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(running.dataset.since)) / 1000));
  running.textContent = seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}, 1000);

document.addEventListener("visibilitychange", () => {
  // A browser has few connections to one server: a page that nobody sees gives its own back.
  if (ended) return;
  source.close();
  if (!document.hidden) open();
});
open();
