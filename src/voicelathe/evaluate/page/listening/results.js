// After the last answer: who was who, what that adds up to, and the file to hand in.
// [name, label] of every candidate, kept out of the page until now.
function namesRevealed() {
  return JSON.parse(new TextDecoder().decode(bytesOf(page.names)));
}

function tableOf(table, heads, rows) {
  const cell = (tag) => (content) => element(tag, {}, ...(Array.isArray(content) ? content : [String(content)]));
  table.replaceChildren(
    element("thead", {}, element("tr", {}, ...heads.map(cell("th")))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell("td"))))));
}

// For every candidate: mean score, and against how many others of the same line it was better, equal or worse. Repeats do not count.
function standings(session, names) {
  const rows = names.map(([name, label]) => ({ name, label, scores: [], better: 0, equal: 0, worse: 0, failed: 0, defects: 0 }));
  for (const trial of session.trials) {
    if (trial.repeats !== null) continue;
    const rivals = session.rivals(trial);
    for (const clip of trial.clips) {
      const isRival = rivals.includes(clip);
      if (isRival && rivals.length < 2) continue;  // a pair with the recording tells nothing of the candidate
      const row = rows[page.clips[clip].candidate], score = session.score(trial, clip);
      row.scores.push(session.mode === "rank" ? session.answer(trial).values[clip] : score);
      row.defects += (session.answer(trial).defects[clip] ?? []).length;
      for (const other of isRival ? rivals : []) {
        if (other === clip) continue;
        const difference = score - session.score(trial, other);
        row[difference > 0 ? "better" : difference < 0 ? "worse" : "equal"] += 1;
      }
    }
  }
  for (const failure of page.failed) rows[failure.candidate].failed += 1;
  for (const row of rows) row.rate = row.better + row.equal + row.worse ? (row.better + row.equal / 2) / (row.better + row.equal + row.worse) : -1;
  return rows.sort((a, b) => b.rate - a.rate || a.name.localeCompare(b.name));
}

function consistency(session) {
  const first = new Map(session.trials.map((trial) => [trial.trial, trial]));
  let same = 0, all = 0;
  for (const trial of session.trials.filter((one) => one.repeats !== null)) {
    const before = first.get(trial.repeats);
    const rivals = session.rivals(trial);
    rivals.forEach((clip, i) => rivals.slice(i + 1).forEach((other) => {
      all += 1;
      same += Math.sign(session.score(trial, clip) - session.score(trial, other)) === Math.sign(session.score(before, clip) - session.score(before, other));
    }));
  }
  return [same, all];
}

function showResults(session) {
  const names = namesRevealed(), rows = standings(session, names), [same, all] = consistency(session);
  const spoken = (row) => (row.name === "base" ? ["base ", element("span", { class: "badge warn" }, page.base_trained ? "before training" : "untrained base")] : row.label);
  const meaning = { rate: "mean rating", rank: "mean place", pair: "points" }[session.mode];
  at("finding").textContent = (all ? `You judged ${same} of ${all} hidden repeats the same way again. ` : "")
    + "One sitting rarely decides anything: the report weighs all sittings, with intervals.";
  tableOf(at("summary"), ["candidate", "won", meaning, "better / equal / worse", "defects", "failed"], rows.map((row) => {
    const bar = element("span", { class: "bar" });
    bar.style.width = `${Math.max(0, row.rate) * 5}rem`;
    const mean = row.scores.reduce((sum, score) => sum + score, 0) / row.scores.length;
    return [spoken(row), row.rate < 0 ? "\u2013" : [bar, `${Math.round(100 * row.rate)} %`], row.scores.length ? mean.toFixed(session.mode === "rate" ? 0 : 1) : "\u2013",
      `${row.better} / ${row.equal} / ${row.worse}`, row.defects, row.failed || "\u2013"];
  }));
  const details = session.trials.flatMap((trial, number) => session.clips(trial).map((clip, i) => {
    const one = page.clips[clip];
    return [`${number + 1}.${i + 1}`, trial.line + (trial.repeats === null ? "" : " (repeat)"), names[one.candidate][1], session.answer(trial).values[clip],
      `${one.gain_db < 0 ? "\u2212" : "+"}${Math.abs(one.gain_db).toFixed(1)} dB`, one.stopped ? "" : "cut at the length limit"];
  }));
  tableOf(at("labels"), ["label", "line", "candidate", "answer", "gain", ""], details);
  const sitting = session.sitting(names);
  at("export-text").value = JSON.stringify(sitting, null, 1) + "\n";
  at("command").textContent = `voicelathe verdict import ${page.recipe} ${fileName(session)}`;
}

function fileName(session) {
  const plain = session.listener.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "") || "listener";
  return `verdict-${page.recipe}-${plain}.json`;
}

function saveFile(session) {
  const address = URL.createObjectURL(new Blob([at("export-text").value], { type: "application/json" }));
  const link = element("a", { href: address, download: fileName(session) });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

async function copyText() {
  at("export-text").closest("details").open = true;
  at("export-text").select();
  try {
    await navigator.clipboard.writeText(at("export-text").value);
    at("copied").textContent = "copied";
  } catch { at("copied").textContent = "press Ctrl+C to copy the selected text"; }
}
