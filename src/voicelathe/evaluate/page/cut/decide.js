// What was decided about each clip, kept in the browser, and the file that hands it on. Times are whole milliseconds.
const WORDS = { accept: "accepted", reject: "rejected", open: "waits" };
const KEPT_AS = "voicelathe-cut:" + page.proposal + ":" + page.page;
const storage = (() => {
  try {
    localStorage.setItem(KEPT_AS + ":test", "1");
    localStorage.removeItem(KEPT_AS + ":test");
    return localStorage;
  } catch { return null; }  // a sandboxed frame: the page works without it
})();

const decided = page.clips.map((clip) => ({ clip: clip.clip, decision: clip.decision, start_ms: clip.start_ms, end_ms: clip.end_ms, text: clip.text }));

function restore() {
  try {
    const found = JSON.parse(storage.getItem(KEPT_AS));
    if (Array.isArray(found) && found.length === decided.length && found.every((one, i) => one.clip === decided[i].clip && WORDS[one.decision])) {
      found.forEach((one, i) => Object.assign(decided[i], one));
    }
  } catch { /* nothing kept */ }
}

function keep() { try { storage?.setItem(KEPT_AS, JSON.stringify(decided)); } catch { /* full: the page goes on without */ } }

// The file as `voicelathe cut apply` reads it.
function exported() {
  const value = {
    format: page.format, name: page.name, page: page.page, proposal: page.proposal,
    decisions: decided.map((one) => ({ ...one, text: wellFormed(one.text) })),
  };
  return canonical({ ...value, digest: sha256(canonical(value)) }) + "\n";
}

const fileName = `${page.name}-decisions-${page.page}.json`;

function saveFile() {
  const address = URL.createObjectURL(new Blob([exported()], { type: "application/json" }));
  const link = element("a", { href: address, download: fileName });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
