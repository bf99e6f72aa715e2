// Browsers start no Worker in a page that is opened as a file. There a hidden frame takes the Worker's place, so that
// the search works in a copied folder. Material's worker looks for the name IFrameWorker in its parent.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super()
      this.onmessage = null
      this.addEventListener("message", (event) => this.onmessage?.(event))
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.appendChild(this.frame)
      const inside = this.frame.contentWindow
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
      const load = (source) =>
        new Promise((loaded, failed) => {
          const script = inside.document.createElement("script")
          script.src = source
          script.onload = loaded
          script.onerror = () => failed(new Error(`cannot load ${source}`))
          inside.document.head.appendChild(script)
        })
      // In a Worker importScripts returns when the last script has run; the caller awaits it here.
      inside.importScripts = (...sources) => sources.reduce((before, next) => before.then(() => load(next)), Promise.resolve())
      this.ready = load(new URL(url, document.baseURI).href)
    }

    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })))
    }

    terminate() {
      this.frame.remove()
    }
  }
  window.Worker = window.IFrameWorker
}
