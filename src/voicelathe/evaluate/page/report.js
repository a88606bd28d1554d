// One player for all samples of the table: press to play, press again to stop; another one stops the first.
(() => {
"use strict";
const audio = new Audio();
let current = null;

function stop() {
  audio.pause();
  current?.classList.remove("playing");
  current?.setAttribute("aria-pressed", "false");
  current = null;
}

function toggle(button) {
  const same = button === current;
  stop();
  if (same) return;
  const source = document.getElementById("audio-" + button.dataset.audio);
  audio.src = `data:${source.dataset.mime};base64,${source.textContent.trim()}`;
  current = button;
  button.classList.add("playing");
  button.setAttribute("aria-pressed", "true");
  audio.play().catch((problem) => {
    stop();
    button.textContent = `cannot play (${problem.name})`;
  });
}

audio.addEventListener("ended", stop);
for (const button of document.querySelectorAll("button.player")) button.addEventListener("click", () => toggle(button));
})();
