// Keys for links and fields that name one, pictures that open larger, and copying. Without it the
// pages work by links alone.
"use strict";
(() => {
  const typing = (element) => element.closest("input, select, textarea, [contenteditable]");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.key === "Escape" && typing(event.target)) event.target.blur();
    if (typing(event.target) || document.querySelector("dialog[open]")) return;
    const wanted = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (!wanted) return;
    event.preventDefault();
    if (wanted.matches("input, select, textarea")) wanted.focus();
    else wanted.click();
  });
  document.addEventListener("keydown", (event) => {
    const rows = [...document.querySelectorAll("a.row")];
    const at = rows.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !rows.length || typing(event.target)) return;
    if (at < 0 && document.activeElement !== document.body) return;
    event.preventDefault();
    rows[Math.max(0, Math.min(rows.length - 1, at + step))].focus();
  });
  const zoom = document.getElementById("zoom");
  for (const link of document.querySelectorAll("a[data-zoom]")) {
    link.addEventListener("click", (event) => {
      if (!zoom || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      const image = zoom.querySelector("img");
      image.src = link.href;
      image.alt = link.querySelector("img").alt;
      zoom.showModal();
    });
  }
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
    });
  }
  for (const form of document.querySelectorAll('form[method="post"]')) {
    let sent = false; // a second click, or key, is of the page that is on its way out
    form.addEventListener("submit", (event) => {
      if (sent) event.preventDefault();
      sent = true;
    });
    window.addEventListener("pageshow", () => { sent = false; });
  }
  for (const box of document.querySelectorAll('[role="checkbox"]')) {
    box.addEventListener("keydown", (event) => {
      if (event.key !== " ") return;
      event.preventDefault();
      box.click();
    });
  }
})();
