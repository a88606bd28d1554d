// Only in pages with real recordings of the speaker. They are judged like everyone and counted apart: an anchor for the listener, no candidate.
const REAL = namesRevealed().findIndex(([name]) => name === "real");
const isReal = (clip) => page.clips[clip].candidate === REAL;
const everyone = { standings, consistency, showStart };

// The sitting as if no recording had taken part.
function ofCandidates(session) {
  const trials = session.trials.map((trial) => ({ ...trial, clips: trial.clips.filter((clip) => !isReal(clip)) }));
  return Object.create(session, { trials: { value: trials.filter((trial) => trial.clips.length > 1) } });
}

standings = (session, names) => {
  const rows = everyone.standings(ofCandidates(session), names), row = rows.find((one) => one.name === "real");
  for (const trial of session.trials.filter((one) => one.repeats === null)) {
    for (const clip of trial.clips.filter(isReal)) {
      row.scores.push(session.answer(trial).values[clip]);
      row.defects += (session.answer(trial).defects[clip] ?? []).length;
    }
  }
  return rows;
};

consistency = (session) => everyone.consistency(ofCandidates(session));

showStart = () => {
  everyone.showStart();
  const all = page.failed.length + page.clips.length, spoken = all - page.clips.filter((one) => one.candidate === REAL).length;
  at("failures").textContent = at("failures").textContent.replace(` of ${all} `, ` of ${spoken} `);
};
