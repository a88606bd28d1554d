// Plays one clip between its beginning and its end, and draws what lies around it.
class Sound {
  constructor(changed) {
    this.changed = changed;
    this.context = null;
    this.buffer = null;
    this.source = null;
    this.clip = null;
  }

  async load(clip) {
    this.stop();
    this.buffer = null;
    this.clip = clip;
    this.context ??= new AudioContext();
    const buffer = await this.context.decodeAudioData(bytesOf(at("audio-" + clip.audio).textContent).buffer);
    if (this.clip === clip) this.buffer = buffer;
    return this.clip === clip;
  }

  get playing() { return this.source !== null; }

  play(one) {
    if (!this.buffer) return;
    this.stop();
    this.context.resume();
    const source = this.context.createBufferSource();
    source.buffer = this.buffer;
    source.connect(this.context.destination);
    source.onended = () => { if (this.source === source) { this.source = null; this.changed(); } };
    this.begin = (one.start_ms - this.clip.from_ms) / 1000;
    this.began = this.context.currentTime;
    source.start(0, this.begin, (one.end_ms - one.start_ms) / 1000);
    this.source = source;
    this.changed();
  }

  stop() {
    const source = this.source;
    this.source = null;
    if (source) { source.stop(); source.disconnect(); this.changed(); }
  }

  // Seconds from the start of what is drawn, while it plays.
  get position() { return this.playing ? this.begin + this.context.currentTime - this.began : null; }

  draw(canvas, one) {
    const scale = window.devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
    canvas.width = Math.round(canvas.clientWidth * scale);
    canvas.height = Math.round(canvas.clientHeight * scale);
    const pen = canvas.getContext("2d"), { width, height } = canvas;
    if (!this.buffer) return;
    const samples = this.buffer.getChannelData(0), each = samples.length / width;
    let peak = 1e-4;
    for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
    const place = (ms) => (ms - this.clip.from_ms) / 1000 / this.buffer.duration * width;
    pen.fillStyle = style.getPropertyValue("--accent-soft");
    pen.fillRect(place(one.start_ms), 0, place(one.end_ms) - place(one.start_ms), height);
    pen.fillStyle = style.getPropertyValue("--soft");
    for (let x = 0; x < width; x++) {
      let high = 0;
      for (let i = Math.floor(x * each); i < (x + 1) * each; i++) high = Math.max(high, Math.abs(samples[i] ?? 0));
      const tall = Math.max(1, high / peak * height);
      pen.fillRect(x, (height - tall) / 2, 1, tall);
    }
    pen.fillStyle = style.getPropertyValue("--accent");
    for (const ms of [one.start_ms, one.end_ms]) pen.fillRect(place(ms) - scale, 0, 2 * scale, height);
    if (this.position !== null) {
      pen.fillStyle = style.getPropertyValue("--bad");
      pen.fillRect(this.position / this.buffer.duration * width, 0, scale, height);
    }
  }
}
