// The samples of a trial: play button, what was heard, and the control of the mode. Locked until they have been heard.
function buildCards(session, player, changed) {
  const trial = session.trial, clips = session.clips(trial);
  const cards = clips.map((clip, i) => {
    const card = element("li", { class: "card" },
      element("button", { type: "button", class: "play", "aria-keyshortcuts": String(i + 1), onclick: () => clicked(player, i) }, `\u25B6 ${i + 1}`),
      element("div", { class: "heard" }, element("progress", { max: 1, value: 0, "aria-label": `Sample ${i + 1}: share heard` }), element("span")),
      ...(session.mode === "pair" ? [] : [element("div", { class: "vote" }, ...vote(session, trial, clip, i, changed))]),
      ...defects(session, trial, clip, i, changed));
    return card;
  });
  at("cards").className = session.mode;
  at("cards").replaceChildren(...cards);
  at("choices").replaceChildren(...(session.mode === "pair" ? choices(session, trial, clips, changed) : []));
}

function clicked(player, i) {
  if (player.active === i && player.playing) player.pause();
  else player.select(i, true);
}

function vote(session, trial, clip, i, changed) {
  const values = session.answer(trial).values;
  const set = (value) => { values[clip] = value; changed(); };
  if (session.mode === "rate") {
    const slider = element("input", { type: "range", min: 0, max: 100, step: 1, value: values[clip] ?? 50, "aria-label": `Rating of sample ${i + 1}`,
      oninput: (event) => set(Number(event.target.value)) });
    return [slider, element("output")];
  }
  const places = trial.clips.map((_, place) => element("option", { value: place + 1, selected: values[clip] === place + 1 }, String(place + 1)));
  const picker = element("select", { "aria-label": `Place of sample ${i + 1}`,
    onchange: (event) => (event.target.value ? set(Number(event.target.value)) : (delete values[clip], changed())) },
    element("option", { value: "" }, "\u2013"), ...places);
  return [element("span", { class: "small soft" }, "place"), picker];
}

function defects(session, trial, clip, i, changed) {
  const ticked = (session.answer(trial).defects[clip] ??= []);
  const boxes = page.defects.map(([code, label]) => element("label", {},
    element("input", { type: "checkbox", checked: ticked.includes(code), "aria-label": `Sample ${i + 1}: ${label}`,
      onchange: (event) => {
        if (event.target.checked) ticked.push(code); else ticked.splice(ticked.indexOf(code), 1);
        changed();
      } }), label));
  const list = element("fieldset", { class: "defects", hidden: ticked.length === 0 }, element("legend", { class: "hidden-visually" }, `Defects of sample ${i + 1}`), ...boxes);
  const more = element("button", { type: "button", class: "more", "aria-expanded": String(ticked.length > 0), "aria-label": `Defects of sample ${i + 1}`,
    onclick: () => { list.hidden = !list.hidden; more.setAttribute("aria-expanded", String(!list.hidden)); } }, "defects");
  return [more, list];
}

// A or B: the two points lie on one clip, or on none.
function choices(session, trial, clips, changed) {
  const values = session.answer(trial).values;
  const options = [[clips[0], "1 is better"], [null, "no difference"], [clips[1], "2 is better"]];
  return options.map(([winner, label]) => element("label", {},
    element("input", { type: "radio", name: "choice", checked: Number.isInteger(values[clips[0]]) && (clips.find((clip) => values[clip] === 1) ?? null) === winner,
      onchange: () => { for (const clip of clips) values[clip] = clip === winner ? 1 : 0; changed(); } }), label));
}

// Brings the cards up to date with what plays, what was heard and what was answered, without rebuilding them under the fingers.
function updateCards(session, player) {
  const trial = session.trial, answer = session.answer(trial), clips = session.clips(trial);
  const allHeard = clips.every((clip) => answer.heard[clip]);
  [...at("cards").children].forEach((card, i) => {
    const share = player.buffers.length ? player.heardShare(i) : 0, isHeard = Boolean(answer.heard[clips[i]]), isActive = player.active === i;
    card.classList.toggle("active", isActive);
    const button = card.querySelector(".play"), isPlaying = isActive && player.playing;
    button.textContent = `${isPlaying ? "\u275A\u275A" : "\u25B6"} ${i + 1}`;
    button.setAttribute("aria-label", `${isPlaying ? "Pause" : "Play"} sample ${i + 1}`);
    button.setAttribute("aria-pressed", String(isActive));
    card.querySelector("progress").value = isHeard ? 1 : share;
    card.querySelector(".heard span").textContent = isHeard ? "heard" : "listen first";
    const control = card.querySelector(".vote input, .vote select");
    if (control) control.disabled = !(session.mode === "rate" ? isHeard : allHeard);
    const number = (answer.defects[clips[i]] ?? []).length, more = card.querySelector(".more");
    more.textContent = number ? `${number} defect${number > 1 ? "s" : ""}` : "defects";
    more.classList.toggle("ticked", number > 0);
    const output = card.querySelector("output");
    if (output) output.textContent = answer.values[clips[i]] ?? "\u2013";
  });
  for (const radio of at("choices").querySelectorAll("input")) radio.disabled = !allHeard;
}
