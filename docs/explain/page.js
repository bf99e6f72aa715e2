// The form of the page "Explain a log". worker.js gives the answers; nothing is sent anywhere (page_policy.py forbids it).

import { WORDS } from "./words.js";

const LARGEST = 50e6; // bytes of a file: reading takes half a second for each MB, and the file is held three times
const LONG = 200e3; // letters of a pasted text: a longer one is kept beside the box, where it would make the box slow
const HEAD = 4096; // bytes in which a text file has no NUL
const WIDEST = 80; // columns, as in a terminal that says nothing
const NARROWEST = 40;
const PACKED = [[0x1f, 0x8b], [0x50, 0x4b, 3, 4], [0x28, 0xb5, 0x2f, 0xfd], [0xfd, 0x37, 0x7a], [0x42, 0x5a, 0x68]];

const root = document.getElementById("explain");
const say = WORDS[root.lang.startsWith("zh") ? "zh" : "en"];
const base = new URL("./", import.meta.url);
const built = await fetch(new URL("built.json", base)).then((answer) => answer.json()).catch(() => null);

if (built?.pyodide) form();
else root.querySelector("[data-fallback]").textContent = say.without;

function make(tag, given = {}, ...children) {
  const { aria = {}, ...rest } = given;
  const made = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(aria)) made.setAttribute(`aria-${name}`, value);
  made.append(...children);
  return made;
}

// `code` in a sentence.
function sentence(tag, text, given) {
  const parts = text.split("`").map((part, at) => (at % 2 ? make("code", { textContent: part }) : part));
  return make(tag, given, ...parts);
}

function form() {
  const text = make("textarea", {
    id: "explain-text", rows: 9, placeholder: say.placeholder, spellcheck: false, autocapitalize: "off", autocomplete: "off",
  });
  text.setAttribute("aria-describedby", "explain-keys explain-once");
  const file = make("input", { type: "file", id: "explain-file" });
  const go = make("button", { type: "submit", className: "md-button md-button--primary", textContent: say.explain });
  const stop = make("button", { type: "button", className: "md-button", textContent: say.stop, hidden: true });
  const clear = make("button", { type: "button", className: "md-button", textContent: say.clear });
  const given = make("p", { id: "explain-given", hidden: true });
  const bar = make("progress", { max: 1, hidden: true, aria: { label: say.progress } });
  const status = make("p", { id: "explain-status" });
  status.setAttribute("role", "status"); // polite: it waits for the reader's sentence to end
  const answer = make("section", { id: "explain-answer", hidden: true, aria: { labelledby: "explain-heading" } });
  const open = make("label", { className: "md-button", htmlFor: file.id, textContent: say.open });
  const row = make("div", { className: "explain-row" }, go, file, open, clear, stop);
  const whole = make("form", {}, make("label", { htmlFor: text.id, textContent: say.text }), text,
    make("p", { id: "explain-keys", className: "explain-hint", textContent: say.keys }), given, row,
    make("p", { id: "explain-once", className: "explain-hint", textContent: say.once(built.bytes) }));
  root.replaceChildren(whole, bar, status, answer);

  let worker = null;
  let kept = null; // {name, bytes}: an opened file or a long paste
  let began = 0;

  function tell(message, wrong = false) {
    status.replaceChildren(...sentence("p", message).childNodes);
    status.classList.toggle("explain-wrong", wrong);
  }

  function busy(on) {
    stop.hidden = !on;
    go.disabled = on;
    if (!on) bar.hidden = true;
    root.setAttribute("aria-busy", String(on));
  }

  function take(next) {
    kept = next;
    given.hidden = !next;
    given.textContent = next ? say.file(next.name || say.pasted, next.bytes.byteLength) : "";
    if (next) text.value = "";
  }

  async function read(chosen) {
    tell("");
    answer.hidden = true;
    if (chosen.size > LARGEST) return tell(say.large(chosen.name, LARGEST), true);
    let bytes;
    try {
      bytes = new Uint8Array(await chosen.arrayBuffer());
    } catch {
      return tell(say.folder(chosen.name), true);
    }
    bytes = asUtf8(bytes);
    const packed = PACKED.some((magic) => magic.every((byte, at) => bytes[at] === byte));
    const sort = packed && chosen.name.endsWith(".whl") ? "wheel" : packed ? "packed" : bytes.subarray(0, HEAD).includes(0) ? "binary" : "";
    if (sort) return tell(say[sort](chosen.name), true);
    take({ name: chosen.name, bytes });
    warm();
    go.focus();
  }

  // A module worker with a blob's address inherits this page's Content-Security-Policy; one with a file's address would have none.
  function warm() {
    if (worker) return;
    const code = `import ${JSON.stringify(new URL("worker.js", base).href)};`;
    const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    worker = new Worker(address, { type: "module" });
    worker.onmessage = ({ data }) => heard(data);
    worker.onerror = (event) => { event.preventDefault(); ended(say.failed(event.message || "worker.js")); };
    // The script's own import is asynchronous: messages wait until it has set its handler.
    worker.postMessage({ built: { ...built, base: base.href } });
  }

  function ended(message) {
    worker?.terminate();
    worker = null;
    busy(false);
    tell(message, true);
  }

  function heard({ step, done, total, answer: said, error, loading }) {
    if (error) return ended(loading ? say.failed(error) : say.crashed(error));
    if (said) return show(said);
    if (stop.hidden) return; // loading ahead, while nobody waits
    if (step === "loading") {
      bar.hidden = false;
      bar.value = done / total;
      // A screen reader is told at the start and at the end, not at each piece.
      status.setAttribute("aria-live", done < total ? "off" : "polite");
      tell(say.loading(done, total));
    } else {
      bar.hidden = true;
      status.setAttribute("aria-live", "polite");
      tell(say[step]);
    }
  }

  function submit() {
    if (go.disabled) return;
    const bytes = kept?.bytes ?? new TextEncoder().encode(text.value);
    answer.hidden = true;
    if (!new TextDecoder().decode(bytes.subarray(0, HEAD)).trim()) {
      tell(say.empty, true);
      return text.focus();
    }
    began = performance.now();
    busy(true);
    tell(say.starting);
    warm();
    worker.postMessage({ name: kept?.name ?? "", bytes, width: columns() });
  }

  // As many columns as the answer has room for.
  function columns() {
    const probe = make("pre", { className: "explain-lines" });
    const line = make("span", { textContent: "0".repeat(100) });
    line.style.whiteSpace = "pre";
    probe.replaceChildren(line);
    answer.replaceChildren(probe);
    answer.hidden = false;
    const style = getComputedStyle(probe);
    const room = probe.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const columns = Math.floor((room / line.getBoundingClientRect().width) * 100);
    answer.hidden = true;
    return Math.max(NARROWEST, Math.min(WIDEST, columns));
  }

  function show({ kind, fine, mistake, lines }) {
    busy(false);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const outcome = kind === "log" ? (fine ? "known" : "unknown") : fine ? "fine" : "problems";
    const heading = sentence("h2", kind === "log" ? say.ofLog : say.ofMachine, { id: "explain-heading", tabIndex: -1 });
    const shown = make("pre", { className: "explain-lines", lang: "en", tabIndex: 0, aria: { labelledby: "explain-heading" } });
    for (const [style, line, command] of lines) {
      const made = make("span", { className: `explain-line explain-${style || "plain"}`, textContent: line });
      if (command) made.append(button(command, say.copy(command)));
      made.append("\n");
      shown.append(made);
    }
    const all = make("button", { type: "button", className: "md-button", textContent: say.all });
    all.onclick = () => copy(shown.textContent, all);
    const parts = [heading, shown, make("div", { className: "explain-row" }, all)];
    if (lines.some(([, line]) => line.includes("python -m mamba_build_backend"))) {
      const install = "python -m pip install ./distributions/mamba-build-backend";
      const code = make("pre", { className: "explain-lines explain-tool" },
        make("span", { className: "explain-line", textContent: install }, button(install, say.copy(install))));
      parts.push(sentence("p", say.tool, { className: "explain-hint" }), code);
    }
    parts.push(sentence("p", say.share, { className: "explain-hint" }));
    answer.replaceChildren(...parts);
    answer.hidden = false;
    tell(mistake ? say.mistake : say[outcome](seconds), mistake);
    heading.focus({ preventScroll: true });
    heading.scrollIntoView({ block: "start" });
  }

  function button(command, label) {
    const made = make("button", { type: "button", className: "explain-copy", title: label, aria: { label } });
    made.onclick = () => copy(command, made);
    return made;
  }

  async function copy(command, from) {
    tell(""); // so that a second "Copied." is read out, too
    try {
      await navigator.clipboard.writeText(command);
    } catch {
      return tell(say.notCopied, true);
    }
    tell(say.copied);
    from.classList.add("explain-done");
    setTimeout(() => from.classList.remove("explain-done"), 2000);
  }

  whole.onsubmit = (event) => { event.preventDefault(); submit(); };
  text.onkeydown = (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(); };
  text.oninput = () => { if (kept) take(null); warm(); };
  text.onpaste = (event) => {
    const pasted = event.clipboardData.getData("text/plain");
    if (pasted.length <= LONG) return;
    event.preventDefault();
    take({ name: "", bytes: new TextEncoder().encode(text.value + pasted) });
    warm();
  };
  file.onchange = () => { if (file.files[0]) read(file.files[0]); file.value = ""; };
  clear.onclick = () => { take(null); text.value = ""; answer.hidden = true; tell(""); text.focus(); };
  stop.onclick = () => { ended(say.stopped); status.classList.remove("explain-wrong"); go.focus(); };
  root.ondragover = (event) => { event.preventDefault(); root.classList.add("explain-over"); };
  root.ondragleave = () => root.classList.remove("explain-over");
  root.ondrop = (event) => {
    event.preventDefault();
    root.classList.remove("explain-over");
    const [dropped] = event.dataTransfer.files;
    if (dropped) read(dropped);
  };
}

// PowerShell's `>` writes UTF-16, with a mark at the start.
function asUtf8(bytes) {
  const mark = bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : bytes[0] === 0xfe && bytes[1] === 0xff ? "utf-16be" : "";
  return mark ? new TextEncoder().encode(new TextDecoder(mark).decode(bytes)) : bytes;
}
