// Waveform above, spectrogram below, of the active sample, on a time axis that all samples of the trial share.
const WINDOW = 1024;
const FLOOR_DB = -90;

class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.still = document.createElement("canvas");
    this.key = "";
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.key = ""; });
  }

  // Draws buffer at `gain`; `seconds` is the width of the time axis, `peak` the level that fills the height of the waveform.
  draw(buffer, gain, seconds, peak, position, name) {
    const scale = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * scale), height = Math.round(this.canvas.clientHeight * scale);
    if (!width || !buffer) return;
    const key = [name, width, height, peak].join();
    if (key !== this.key) {
      for (const one of [this.still, this.canvas]) { one.width = width; one.height = height; }
      this.paint(this.still.getContext("2d"), buffer, gain, seconds, peak, width, height);
      this.key = key;
    }
    const pen = this.canvas.getContext("2d");
    pen.drawImage(this.still, 0, 0);
    pen.fillStyle = this.colour("--bad");
    pen.fillRect(Math.round(position / seconds * width), 0, Math.max(1, Math.round(1.5 * scale)), height);
  }

  colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

  paint(pen, buffer, gain, seconds, peak, width, height) {
    const samples = buffer.getChannelData(0), split = Math.round(height * 0.4), used = Math.round(buffer.duration / seconds * width);
    pen.fillStyle = this.colour("--ground");
    pen.fillRect(0, 0, width, height);
    pen.fillStyle = this.colour("--accent");
    for (let x = 0; x < used; x++) {
      const from = Math.floor(x / used * samples.length), to = Math.max(from + 1, Math.floor((x + 1) / used * samples.length));
      let low = 0, high = 0;
      for (let i = from; i < to; i++) { low = Math.min(low, samples[i]); high = Math.max(high, samples[i]); }
      const top = split / 2 * (1 - gain * high / peak), bottom = split / 2 * (1 - gain * low / peak);
      pen.fillRect(x, top, 1, Math.max(1, bottom - top));
    }
    if (used > 0) pen.putImageData(this.spectrogram(samples, buffer.sampleRate, used, height - split, gain), 0, split);
  }

  spectrogram(samples, rate, width, height, gain) {
    const image = new ImageData(width, height), top = Math.min(8000, rate / 2), bins = top / rate * WINDOW;
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    for (let x = 0; x < width; x++) {
      const powers = spectrum(samples, Math.floor(x / width * samples.length) - WINDOW / 2);
      for (let y = 0; y < height; y++) {
        const level = 10 * Math.log10(powers[Math.floor((1 - (y + 0.5) / height) * bins)] * gain * gain + 1e-12);
        shade(image.data, 4 * (y * width + x), Math.min(1, Math.max(0, 1 - level / FLOOR_DB)), dark);
      }
    }
    return image;
  }
}

// From the colour of the page over a warm tone to the strongest: three stops each, light and dark.
const STOPS = {
  light: [[251, 250, 248], [226, 128, 96], [58, 16, 88]],
  dark: [[20, 23, 27], [146, 42, 112], [255, 226, 140]],
};

function shade(data, place, strength, dark) {
  const stops = dark ? STOPS.dark : STOPS.light, half = strength < 0.5 ? 0 : 1, part = 2 * strength - half;
  for (let i = 0; i < 3; i++) data[place + i] = stops[half][i] + part * (stops[half + 1][i] - stops[half][i]);
  data[place + 3] = 255;
}

// Power spectrum of one Hann window, full scale sine about 0 dB; zeros beyond the ends.
function spectrum(samples, start) {
  const real = new Float32Array(WINDOW), imaginary = new Float32Array(WINDOW), powers = new Float32Array(WINDOW / 2);
  for (let i = 0; i < WINDOW; i++) real[i] = (samples[start + i] || 0) * (0.5 - 0.5 * Math.cos(2 * Math.PI * i / WINDOW));
  transform(real, imaginary);
  for (let i = 0; i < WINDOW / 2; i++) powers[i] = 16 * (real[i] ** 2 + imaginary[i] ** 2) / WINDOW ** 2;
  return powers;
}

// In-place radix-2 Fourier transform (Cooley and Tukey).
function transform(re, im) {
  for (let i = 1, j = 0; i < re.length; i++) {
    let bit = re.length >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [re[i], re[j]] = [re[j], re[i]];
  }
  for (let size = 2; size <= re.length; size <<= 1) {
    const half = size >> 1;
    for (let k = 0; k < half; k++) {
      const c = Math.cos(-2 * Math.PI * k / size), s = Math.sin(-2 * Math.PI * k / size);
      for (let i = k; i < re.length; i += size) {
        const r = re[i + half] * c - im[i + half] * s, q = re[i + half] * s + im[i + half] * c;
        re[i + half] = re[i] - r; im[i + half] = im[i] - q;
        re[i] += r; im[i] += q;
      }
    }
  }
}
