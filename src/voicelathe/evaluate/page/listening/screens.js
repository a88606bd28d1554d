// The three screens (start, trial, finish), the keys, and what moves between them.
const QUESTIONS = { rate: "How good is each sample?", rank: "Which place does each sample get? 1 is the best.", pair: "Which one is better?" };
const picture = new Picture(at("picture"));
const player = new Player(refresh);
let session = null;
let announced = "", shownAt = 0;

function show(name) {
  for (const one of ["start", "trial", "finish"]) at(one).hidden = one !== name;
  at(`${name}-title`).focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function showStart() {
  const counts = Object.entries(page.trials).map(([mode, trials]) => [mode, trials.length]);
  for (const [mode, count] of counts) document.querySelector(`[data-count="${mode}"]`).textContent = `${count} ${count === 1 ? "screen" : "screens"}, at least ${minutes(sound(page.trials[mode]))}.`;
  const kept = Session.kept();
  at("resume").hidden = !kept;
  at("begin").textContent = kept ? "Start over" : "Start";
  at("listener").value = kept?.listener ?? at("listener").value;
  if (!storage) at("keeping").textContent = "inside this frame nothing can be remembered, so finish in one go or open the file from disk.";
  const failed = page.failed.length;
  const spoken = page.clips.filter((clip) => clip.candidate !== REAL).length;
  at("failures").textContent = failed ? `${failed} of ${failed + spoken} samples could not be generated. They are not judged; the last screen shows whose they are.` : "";
  if (!counts.some(([, count]) => count)) {
    trouble("There is nothing to compare: fewer than two samples of each line can be heard.");
    at("begin").disabled = true;
  }
  show("start");
}

function begin() {
  const listener = at("listener").value.trim();
  if (!listener) { at("listener").focus(); at("listener").reportValidity(); return; }
  session = new Session(listener, document.querySelector("input[name=mode]:checked").value);
  showTrial();
}

function resume() {
  session = Session.kept();
  if (session.finished) finish(); else showTrial();
}

async function showTrial() {
  const trial = session.trial, clips = session.clips(trial), answer = session.answer(trial);
  announced = "";
  shownAt = Date.now();
  at("trial-title").textContent = `Screen ${session.place + 1} of ${session.trials.length}`;
  at("left").textContent = session.left();
  at("text").textContent = page.lines[trial.line];
  at("question").textContent = QUESTIONS[session.mode];
  at("scale").hidden = session.mode !== "rate";
  at("note").value = answer.note;
  at("back").disabled = session.place === 0;
  at("next").textContent = session.place + 1 < session.trials.length ? "Next" : "Finish and reveal";
  at("progress").setAttribute("aria-valuemax", session.trials.length);
  at("progress").setAttribute("aria-valuenow", session.place);
  at("progress").firstElementChild.style.width = `${100 * session.place / session.trials.length}%`;
  player.reset();
  buildCards(session, player, refresh);
  updateCards(session, player);
  at("next").disabled = true;  // until the audio is there
  show("trial");
  try {
    await player.load(clips, clips.map((clip) => answer.heard[clip]));
  } catch (problem) {
    trouble(`This browser cannot decode the audio (${problem.name}). A current Chrome, Firefox, Edge or Safari 18.4 can.`);
  }
}

// Called by the player about thirty times a second while it plays, and after every answer.
function refresh() {
  if (!session || at("trial").hidden || !player.buffers.length) return;
  const trial = session.trial, answer = session.answer(trial), clips = session.clips(trial);
  clips.forEach((clip, i) => { if (player.isHeard(i)) answer.heard[clip] = true; });
  updateCards(session, player);
  const longest = Math.max(...player.buffers.map((buffer) => buffer.duration));
  picture.draw(player.buffers[player.active], player.gainOf(player.active), longest, player.peak, player.position, clips[player.active]);
  at("play").textContent = player.playing ? "Pause" : "Play";
  if (document.activeElement !== at("position")) at("position").value = Math.round(1000 * player.position / player.duration);
  at("clock").textContent = `${player.position.toFixed(1)} / ${player.duration.toFixed(1)} s`;
  const missing = session.missing(trial), key = [trial.trial, JSON.stringify(answer), player.active, player.playing].join();
  at("missing").textContent = missing;
  at("next").disabled = Boolean(missing);
  if (key === announced) return;
  announced = key;
  const allHeard = clips.every((clip) => answer.heard[clip]);
  at("status").textContent = (player.playing ? `Sample ${player.active + 1} is playing. ` : "") + (allHeard ? "All heard: judge them in any order, listen again as you like." : "Listen to every sample first; you can switch while it plays.");
  session.keep();
}

function go(by) {
  session.answer(session.trial).note = at("note").value;
  player.pause();
  session.spend(session.trial, (Date.now() - shownAt) / 1000);
  session.place += by;
  if (session.place >= session.trials.length && session.isComplete) { finish(); return; }
  session.place = Math.min(Math.max(0, session.place), session.trials.length - 1);
  session.keep();
  showTrial();
}

function finish() {
  session.finished = true;
  session.place = session.trials.length - 1;
  session.keep();
  player.reset();
  showResults(session);
  show("finish");
}

// Keys of the trial screen; a control that has the focus keeps its own.
function pressed(event) {
  if (at("trial").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const inside = event.target.closest("textarea, select, input, button, summary");
  if (/^[1-9]$/.test(event.key) && !event.target.closest("textarea, select")) {
    const card = at("cards").children[Number(event.key) - 1];
    if (!card) return;
    player.select(Number(event.key) - 1, true);
    (card.querySelector(".vote input:enabled, .vote select:enabled") ?? card.querySelector(".play")).focus();
  } else if (event.key === "Escape") player.pause();
  else if (inside) { if (event.key === " " && event.target.type === "range") player.toggle(); else return; }
  else if (event.key === " ") player.toggle();
  else if (event.key === "ArrowLeft") player.seek(player.position - 0.5);
  else if (event.key === "ArrowRight") player.seek(player.position + 0.5);
  else if (event.key === "ArrowUp") player.select(player.active - 1);
  else if (event.key === "ArrowDown") player.select(player.active + 1);
  else return;
  event.preventDefault();
}

at("begin").addEventListener("click", begin);
at("resume").addEventListener("click", resume);
at("play").addEventListener("click", () => player.toggle());
at("position").addEventListener("input", (event) => player.seek(Number(event.target.value) / 1000 * player.duration));
at("picture").addEventListener("click", (event) => player.seek(event.offsetX / at("picture").clientWidth * Math.max(...player.buffers.map((buffer) => buffer.duration))));
at("note").addEventListener("input", () => { session.answer(session.trial).note = at("note").value; session.keep(); });
at("back").addEventListener("click", () => go(-1));
at("next").addEventListener("click", () => go(1));
at("export").addEventListener("click", () => saveFile(session));
at("copy").addEventListener("click", copyText);
at("again").addEventListener("click", () => { Session.forget(); session = null; at("listener").value = ""; showStart(); });
document.addEventListener("keydown", pressed);
showStart();
