// Runs the backend in Pyodide, in a thread of its own, so that the page stays responsive.
// Messages in: {built} once, then {name, bytes, width}. Messages out: {step}, {answer}, or {error, loading}.

let ready;

async function start({ base, backend, counted }) {
  let done = 0;
  const plain = self.fetch.bind(self);
  // Pyodide fetches its own files. Counting what passes gives the progress without a second download.
  self.fetch = async (...words) => {
    const response = await plain(...words);
    if (!response.ok) throw new Error(`${response.status} ${new URL(response.url).pathname.split("/").pop()}`);
    const counter = new TransformStream({
      transform(chunk, out) {
        done += chunk.byteLength;
        postMessage({ step: "loading", done: Math.min(done, counted), total: counted });
        out.enqueue(chunk);
      },
    });
    const { status, headers } = response;
    return new Response(response.body.pipeThrough(counter), { status, headers });
  };
  const archive = self.fetch(new URL(backend, base)).then((response) => response.arrayBuffer());
  const script = self.fetch(new URL("answer.py", base)).then((response) => response.text());
  const { loadPyodide } = await import(new URL("pyodide/pyodide.mjs", base));
  const python = await loadPyodide({ indexURL: new URL("pyodide/", base).href });
  self.fetch = plain;
  postMessage({ step: "starting" });
  python.FS.mkdirTree("/backend");
  python.unpackArchive(await archive, "zip", { extractDir: "/backend" });
  python.FS.writeFile("/backend/answer.py", await script);
  python.runPython("import sys; sys.path.insert(0, '/backend'); import answer");
  return python.pyimport("answer");
}

self.onmessage = async ({ data }) => {
  if (data.built) {
    ready = start(data.built);
    ready.catch((error) => postMessage({ error: short(error), loading: true }));
    return;
  }
  let module;
  try {
    module = await ready;
  } catch {
    return; // told above
  }
  postMessage({ step: "reading" });
  try {
    const said = module.answer_json(data.name, data.bytes, data.width);
    postMessage({ answer: JSON.parse(said) });
  } catch (error) {
    postMessage({ error: short(error), loading: false });
  }
};

// The last line of a Python traceback names the error.
const short = (error) => String(error.message ?? error).trim().split("\n").pop();
