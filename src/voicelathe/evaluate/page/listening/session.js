// What one listener has answered, where it is kept, and the file it becomes.
const REAL = namesRevealed().findIndex(([name]) => name === "real");  // -1 in pages without the speaker's recordings
const KEPT_AS = "voicelathe-listening:" + page.sweep;

// Storage throws in a sandboxed frame; then the page works without it and says so.
const storage = (() => {
  try {
    localStorage.setItem(KEPT_AS + ":test", "1");
    localStorage.removeItem(KEPT_AS + ":test");
    return localStorage;
  } catch { return null; }
})();

// Seconds of sound of some screens, each sample once.
function sound(trials) { return trials.flatMap((trial) => trial.clips).reduce((total, clip) => total + page.clips[clip].seconds, 0); }

function minutes(seconds) {
  const count = Math.max(1, Math.round(seconds / 60));
  return count === 1 ? "1 minute" : `${count} minutes`;
}

class Session {
  constructor(listener, mode) {
    Object.assign(this, { listener, mode, place: 0, answers: {}, spent: {}, finished: false });
  }

  static kept() {
    try {
      const found = JSON.parse(storage.getItem(KEPT_AS));
      return found && page.trials[found.mode] ? Object.assign(new Session("", "rate"), found) : null;
    } catch { return null; }
  }

  keep() { try { storage?.setItem(KEPT_AS, JSON.stringify(this)); } catch { /* full: the page goes on without */ } }
  static forget() { try { storage?.removeItem(KEPT_AS); } catch { /* nothing kept */ } }

  get trials() { return page.trials[this.mode]; }
  get trial() { return this.trials[this.place]; }

  // Clips of a trial in the order of this listener's labels: another listener sees them turned round, so no position is favoured.
  clips(trial) {
    const turn = parseInt(sha256(this.listener + "\n" + trial.trial).slice(0, 8), 16) % trial.clips.length;
    return [...trial.clips.slice(turn), ...trial.clips.slice(0, turn)];
  }

  // The candidates of a trial. The speaker's recording is judged like them and counted apart: an anchor for the listener.
  rivals(trial) { return trial.clips.filter((clip) => page.clips[clip].candidate !== REAL); }

  answer(trial) {
    return (this.answers[trial.trial] ??= { values: {}, defects: {}, heard: {}, note: "" });
  }

  // What is still missing in a trial, in words; empty when it is complete.
  missing(trial) {
    const answer = this.answer(trial), clips = this.clips(trial);
    const unheard = clips.map((clip, i) => (answer.heard[clip] ? 0 : i + 1)).filter(Boolean);
    if (unheard.length) return "Still to be heard: " + unheard.join(", ");
    const open = clips.map((clip, i) => (Number.isInteger(answer.values[clip]) ? 0 : i + 1)).filter(Boolean);
    if (open.length) return this.mode === "pair" ? "Choose one, or no difference" : "Still to be judged: " + open.join(", ");
    return "";
  }

  get isComplete() { return this.trials.every((trial) => !this.missing(trial)); }

  // Seconds that were spent on a screen; a break counts as five minutes at most.
  spend(trial, seconds) { this.spent[trial.trial] = (this.spent[trial.trial] ?? 0) + Math.min(seconds, 300); }

  // How long the open screens will take, in words: at this listener's own pace, or before there is one, the sound alone.
  left() {
    const done = this.trials.filter((trial) => trial !== this.trial && this.spent[trial.trial] && !this.missing(trial));
    const open = this.trials.filter((trial) => !done.includes(trial));
    if (!done.length) return `at least ${minutes(sound(open))}`;
    const pace = done.reduce((total, trial) => total + this.spent[trial.trial], 0) / sound(done);
    return `about ${minutes(pace * sound(open))} left`;
  }

  // Higher is better in every mode; `values` are ratings, places (1 is best) or points.
  score(trial, clip) {
    const values = this.answer(trial).values;
    return this.mode === "rank" ? trial.clips.filter((other) => values[other] > values[clip]).length : values[clip];
  }

  // The verdict file. Only integers and text, so that Python computes the same digest.
  sitting(names) {
    const judgements = this.trials.map((trial) => ({
      trial: trial.trial, line_id: trial.line, seed: trial.seed, repeats: trial.repeats,
      note: wellFormed(this.answer(trial).note),
      opinions: this.clips(trial).map((clip) => ({
        candidate: names[page.clips[clip].candidate][0],
        score: this.score(trial, clip),
        defects: page.defects.map(([code]) => code).filter((code) => (this.answer(trial).defects[clip] ?? []).includes(code)),
      })),
    }));
    const { format, recipe, run_digest, sweep } = page;
    const content = { format, recipe, run_digest, sweep, listener: wellFormed(this.listener), mode: this.mode, judgements };
    return { ...content, digest: sha256(canonical(content)) };
  }
}
