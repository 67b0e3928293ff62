"use strict";

const refuse = (element) => element.closest(".file")?.classList.add("refused");

// A refused picture or film fails to load. Such events do not bubble, so catch them on their way down.
document.addEventListener("error", (event) => refuse(event.target), true);

document.addEventListener("DOMContentLoaded", () => {
  // A document has no such event, so ask: the gate's redirect, which is not followed here, means yes.
  for (const file of document.querySelectorAll("[data-probe]")) {
    fetch(file.dataset.probe, { method: "HEAD", redirect: "manual" })
      .then((response) => response.type === "opaqueredirect" || refuse(file));
  }
  showDecisions();
});

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
