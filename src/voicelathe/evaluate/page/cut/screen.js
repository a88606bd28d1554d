// The list, the clip that is looked at, and the keys.
const STEP_MS = 10, SHORTEST_MS = 100;
let place = 0;
const sound = new Sound(() => refresh());

function look(number) {
  if (!page.clips.length) return;
  place = Math.min(Math.max(0, number), page.clips.length - 1);
  const clip = page.clips[place];
  at("title").textContent = `${clip.clip} (${place + 1} of ${page.clips.length})`;
  at("where").textContent = `${page.recordings[clip.recording]}, ${(clip.start_ms / 1000).toFixed(2)} to ${(clip.end_ms / 1000).toFixed(2)} s, ${clip.speaker}`;
  at("text").value = decided[place].text;
  at("heard").textContent = clip.heard === null ? "" : `Heard: ${clip.heard || "nothing"}`;
  at("flags").replaceChildren(...clip.flags.map((code) => element("li", {}, `${code}: ${page.flags[code]}`)));
  at("clips").children[place].scrollIntoView({ block: "nearest" });
  refresh();
  sound.load(clip).then((isMine) => { if (isMine) refresh(); }, (problem) => trouble(`This browser cannot decode the audio (${problem.name}). A current Chrome, Firefox, Edge or Safari 18.4 can.`));
}

function refresh() {
  if (!page.clips.length) return;
  const one = decided[place];
  at("state").textContent = WORDS[one.decision];
  at("state").className = one.decision;
  at("play").textContent = sound.playing ? "Stop" : "Play";
  at("length").textContent = `${((one.end_ms - one.start_ms) / 1000).toFixed(2)} s`;
  for (const [id, value] of [["start", one.start_ms], ["end", one.end_ms]]) if (document.activeElement !== at(id)) at(id).value = (value / 1000).toFixed(2);
  const button = at("clips").children[place].firstElementChild;
  row(button, place);
  for (const other of at("clips").querySelectorAll("[aria-current]")) if (other !== button) other.removeAttribute("aria-current");
  button.setAttribute("aria-current", "true");
  count();
  sound.draw(at("picture"), one);
}

function row(button, number) {
  const one = decided[number];
  const words = [element("span", {}, `${((one.end_ms - one.start_ms) / 1000).toFixed(2)} s`), element("span", { class: one.decision }, WORDS[one.decision]), element("span", {}, one.text)];
  button.replaceChildren(...words);
}

function count() {
  const num = (state) => decided.filter((one) => one.decision === state).length;
  at("counts").textContent = `${num("accept")} accepted, ${num("reject")} rejected, ${num("open")} wait.`;
}

function decide(decision) {
  if (!page.clips.length) return;
  decided[place].decision = decision;
  keep();
  refresh();
  if (place + 1 < page.clips.length) look(place + 1);
}

// A moved edge stays within the sound that this page holds, and leaves something between both.
function move(edge, ms) {
  if (!page.clips.length) return;
  const one = decided[place], clip = page.clips[place];
  if (!Number.isFinite(ms)) return;
  if (edge === "start") one.start_ms = Math.min(Math.max(clip.from_ms, Math.round(ms)), one.end_ms - SHORTEST_MS);
  else one.end_ms = Math.max(Math.min(clip.to_ms, Math.round(ms)), one.start_ms + SHORTEST_MS);
  sound.stop();
  keep();
  refresh();
}

function nextOpen() {
  const order = [...decided.keys()].map((i) => (place + 1 + i) % decided.length);
  const found = order.find((i) => decided[i].decision === "open");
  if (found !== undefined) look(found);
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") { document.activeElement.blur(); sound.stop(); return; }
  if (event.target.closest("textarea, input, summary")) return;
  const isButton = event.target.closest("button");
  const one = decided[place];
  if (event.key === " " && !isButton) { if (sound.playing) sound.stop(); else sound.play(one); }
  else if (event.key === "a" || event.key === "A") decide("accept");
  else if (event.key === "r" || event.key === "R") decide("reject");
  else if (event.key === "n" || event.key === "N") nextOpen();
  else if (event.key === "ArrowDown") look(place + 1);
  else if (event.key === "ArrowUp") look(place - 1);
  else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
    const edge = event.shiftKey ? "end" : "start";
    move(edge, one[edge + "_ms"] + (event.key === "ArrowLeft" ? -STEP_MS : STEP_MS));
  } else return;
  event.preventDefault();
}

page.clips.forEach((clip, number) => {
  const button = element("button", { type: "button", onclick: () => look(number) });
  at("clips").append(element("li", {}, button));
});
restore();
page.clips.forEach((clip, number) => row(at("clips").children[number].firstElementChild, number));
at("command").textContent = `voicelathe cut apply ${page.name} ${fileName}`;
at("play").addEventListener("click", () => { if (sound.playing) sound.stop(); else sound.play(decided[place]); });
at("accept").addEventListener("click", () => decide("accept"));
at("reject").addEventListener("click", () => decide("reject"));
at("next-open").addEventListener("click", nextOpen);
at("reset").addEventListener("click", () => {
  const clip = page.clips[place];
  if (!clip) return;
  Object.assign(decided[place], { start_ms: clip.start_ms, end_ms: clip.end_ms, text: clip.text, decision: clip.decision });
  keep();
  look(place);
});
for (const edge of ["start", "end"]) at(edge).addEventListener("change", () => { move(edge, 1000 * at(edge).valueAsNumber); at(edge).value = (decided[place]?.[edge + "_ms"] / 1000).toFixed(2); });
at("text").addEventListener("input", () => { if (decided.length) { decided[place].text = at("text").value; keep(); row(at("clips").children[place].firstElementChild, place); } });
at("picture").addEventListener("click", () => { if (sound.playing) sound.stop(); else sound.play(decided[place]); });
at("export").addEventListener("click", saveFile);
at("copy").addEventListener("click", () => { at("as-text").open = true; at("export-text").value = exported(); at("export-text").select(); });
at("as-text").addEventListener("toggle", () => { if (at("as-text").open) at("export-text").value = exported(); });
document.addEventListener("keydown", pressed);
setInterval(() => { if (sound.playing) sound.draw(at("picture"), decided[place]); }, 50);
if (page.clips.length) look(0); else trouble("There is no clip on this page.");
