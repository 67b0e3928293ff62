"use strict";

for (const file of document.querySelectorAll(".file")) {
  show(file);
}
showDecisions();

async function show(file) {
  const path = file.querySelector("a").pathname;
  const media = file.querySelector("img, video");
  const asksForJson = file.dataset.answer === "json";
  const address = await (asksForJson ? readAddress(path) : followRedirect(path)).catch(() => null);
  if (!address) {
    file.classList.add("refused");
    return;
  }
  file.querySelector("output").textContent = address;
  if (media?.matches("[data-hls]")) {
    playHls(media, path, file);
  } else if (media && asksForJson) {
    media.src = address;
  }
}

// The gate sends the signed address to scripts that accept JSON. Elements like <img> can show it without CORS.
async function readAddress(path) {
  const response = await fetch(path, { headers: { Accept: "application/json" } });
  return response.ok ? (await response.json()).url : null;
}

// This only shows where the redirect leads. The browser follows it for <img>, <video> and links without a script.
async function followRedirect(path) {
  const response = await fetch(path, { method: "HEAD", credentials: "include" });
  return response.ok ? response.url : null;
}

async function playHls(video, path, file) {
  const { default: Hls } = await import("/hls.js").catch(() => ({}));
  if (Hls?.isSupported()) {
    // The pieces are on another origin. A script's requests send cookies there only if it sets this.
    const hls = new Hls({ xhrSetup: (request) => { request.withCredentials = true; } });
    hls.on(Hls.Events.FRAG_LOADED, (_, { frag }) => {
      const piece = document.createElement("li");
      piece.textContent = frag.url;
      file.querySelector(".pieces").append(piece);
    });
    hls.loadSource(path);
    hls.attachMedia(video);
  } else if (video.canPlayType("application/vnd.apple.mpegurl")) {
    video.src = path; // Safari and recent Chromium need no script
  } else {
    file.classList.add("unplayable");
  }
}

async function showDecisions() {
  const response = await fetch("/decisions.json").catch(() => null);
  if (response?.ok) {
    const rows = (await response.json()).map(({ time, method, path, status, reason }) => {
      const row = document.createElement("tr");
      row.className = reason;
      row.append(...[time, method, path, status ?? "", reason].map((text) => {
        const cell = document.createElement("td");
        cell.textContent = text;
        return cell;
      }));
      return row;
    });
    document.getElementById("decisions").replaceChildren(...rows);
  }
  setTimeout(showDecisions, 1000);
}
