// Plays all samples of a trial at once and lets one through: switching keeps the moment and leaves no gap.
const BIN_S = 0.05;        // what was heard is remembered in pieces of this length
const HEARD_SHARE = 0.9;   // so much of a sample must have been heard before it may be judged
const FADE_S = 0.012;

class Player {
  constructor(changed) {
    this.changed = changed;  // called on every tick and on every change
    this.context = null;
    this.decoded = new Map();
    this.clips = [];
    this.reset();
    setInterval(() => this.tick(), 30);
  }

  reset() {
    this.stopSources();
    this.buffers = [];
    this.heard = [];
    this.active = 0;
    this.position = 0;
    this.playing = false;
    this.last = null;
    this.wanted = null;
  }

  // Decodes what a trial needs; `heard` says which were already heard in an earlier visit.
  async load(clips, heard) {
    this.reset();
    this.clips = clips;
    this.context ??= new AudioContext();
    const buffers = await Promise.all(clips.map((clip) => this.decode(page.clips[clip].audio)));
    if (this.clips !== clips) return false;
    this.buffers = buffers;
    this.peak = Math.max(1e-6, ...buffers.map((buffer, i) => this.gainOf(i) * peakOf(buffer.getChannelData(0))));
    this.heard = buffers.map((buffer, i) => new Uint8Array(Math.max(1, Math.floor(buffer.duration / BIN_S))).fill(heard[i] ? 1 : 0));
    this.changed();
    if (this.wanted !== null) this.select(this.wanted, true);
    return true;
  }

  decode(number) {
    if (!this.decoded.has(number)) {
      if (this.decoded.size > 32) this.decoded.clear();
      this.decoded.set(number, this.context.decodeAudioData(bytesOf(at("audio-" + number).textContent).buffer));
    }
    return this.decoded.get(number);
  }

  get duration() { return this.buffers.length ? this.buffers[this.active].duration : 0; }

  heardShare(i) { return this.heard[i].reduce((sum, bin) => sum + bin, 0) / this.heard[i].length; }
  isHeard(i) { return this.heardShare(i) >= HEARD_SHARE; }

  play() {
    if (!this.buffers.length) return;
    this.context.resume();
    if (this.position >= this.duration - 0.01) this.position = 0;
    this.startSources();
    this.playing = true;
    this.changed();
  }

  pause() {
    this.tick();
    this.stopSources();
    this.playing = false;
    this.changed();
  }

  toggle() { if (this.playing) this.pause(); else this.play(); }

  select(i, andPlay = false) {
    if (!this.buffers.length) { this.wanted = andPlay ? i : null; return; }  // pressed while the audio is still being decoded
    if (i < 0 || i >= this.buffers.length) return;
    this.tick();
    this.active = i;
    if (this.position >= this.duration - 0.01) this.seek(0);
    this.gates.forEach((gate, number) => this.ramp(gate, number === i ? this.gainOf(number) : 0));
    if (andPlay && !this.playing) this.play();
    this.changed();
  }

  seek(seconds) {
    this.tick();
    this.position = Math.min(Math.max(0, seconds), Math.max(0, this.duration - 0.02));
    this.last = null;
    if (this.playing) this.startSources();
    this.changed();
  }

  gainOf(i) { return 10 ** (page.clips[this.clips[i]].gain_db / 20); }

  ramp(gate, value) {
    const now = this.context.currentTime;
    gate.gain.cancelScheduledValues(now);
    gate.gain.setValueAtTime(gate.gain.value, now);
    gate.gain.linearRampToValueAtTime(value, now + FADE_S);
  }

  startSources() {
    this.stopSources();
    const when = this.context.currentTime + 0.02;
    this.buffers.forEach((buffer, i) => {
      const gate = this.context.createGain();
      gate.gain.value = i === this.active ? this.gainOf(i) : 0;
      gate.connect(this.context.destination);
      this.gates.push(gate);
      if (this.position >= buffer.duration) return;
      const source = this.context.createBufferSource();
      source.buffer = buffer;
      source.connect(gate);
      source.start(when, this.position);
      this.sources.push(source);
    });
    this.startedAt = when - this.position;
  }

  stopSources() {
    (this.sources ?? []).forEach((source) => { source.stop(); source.disconnect(); });
    (this.gates ?? []).forEach((gate) => gate.disconnect());
    this.sources = [];
    this.gates = [];
    this.last = null;
  }

  // Moves the position on and remembers what was heard since the last tick.
  tick() {
    if (!this.playing) return;
    const now = Math.max(this.position, this.context.currentTime - this.startedAt);
    const end = Math.min(now, this.duration);
    const bins = this.heard[this.active];
    for (let bin = Math.floor((this.last ?? this.position) / BIN_S); bin < Math.min(bins.length, Math.ceil(end / BIN_S)); bin++) bins[bin] = 1;
    this.position = this.last = end;
    if (now >= this.duration) this.ended();
    this.changed();
  }

  // A sample that was joined in the middle goes round once more, until all of it was heard.
  ended() {
    this.stopSources();
    this.position = 0;
    if (at("loop").checked || !this.isHeard(this.active)) this.startSources();
    else this.playing = false;
  }
}

function peakOf(samples) {
  let peak = 0;
  for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
  return peak;
}
