// The blind listening page. One closure, no globals, no network. Files are joined in the order that listening.py names.
(() => {
"use strict";
const page = JSON.parse(document.getElementById("page").textContent);
const at = (id) => document.getElementById(id);

// An element with text, attributes and children; text is never parsed as markup.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function bytesOf(base64) {
  const text = atob(base64.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function trouble(text) {
  at("trouble").textContent = text;
  at("trouble").hidden = false;
}
