// What pages do beyond their HTML: live events, a replay's progress, files that are dropped, a wallet.
// Every page works without this file.
"use strict";

// -- events as the index reads them --

const kinds = {
  RoundOpened: "opened", Committed: "committed", Revealed: "revealed", Proposed: "a result was proposed",
  Attested: "attested", AttestedLate: "attested late", RoundCertified: "certified", RoundAborted: "aborted",
};

function line(event) {
  const place = event.run === null ? "consortium" : `run ${event.run}`;
  const round = event.round === null ? "" : `, round ${event.round}`;
  const member = event.member === null ? "" : `, member ${event.member}`;
  return `${place}${round}${member}: ${kinds[event.kind] || event.kind}`;
}

function follow(section) {
  const wanted = section.dataset.live;
  const list = section.querySelector(".events");
  const stream = new EventSource("/v1/events/live");
  stream.addEventListener("message", (message) => {
    const event = JSON.parse(message.data);
    if (wanted && event.run !== wanted) return;
    const item = document.createElement("li");
    item.textContent = line(event);
    list.prepend(item);
    while (list.children.length > 10) list.lastChild.remove();
    section.hidden = false;
  });
  addEventListener("pagehide", () => stream.close());
}

// -- a replay under way --

async function watch(box) {
  const bar = box.querySelector("progress");
  const words = box.querySelector("[data-words]");
  for (;;) {
    const answer = await fetch(`/v1/verifications/${box.dataset.job}`, { cache: "no-store" });
    if (!answer.ok) break;
    const job = (await answer.json()).item;
    if (!["queued", "running"].includes(job.state)) break;
    if (job.total) {
      bar.max = job.total;
      bar.value = job.done;
    }
    const said = job.state === "queued" ? "waits for its turn"
      : job.total ? `${job.done} of ${job.total} rounds replayed` : "reads the chain";
    if (words.textContent !== said) words.textContent = said;
    await new Promise((go) => setTimeout(go, 500));
  }
  location.reload();
}

// -- a bundle that is dropped --

function take(zone) {
  const input = zone.querySelector("input[type=file]");
  const over = (event) => {
    event.preventDefault();
    zone.classList.add("over");
  };
  zone.addEventListener("dragenter", over);
  zone.addEventListener("dragover", over);
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files.length === 1) input.files = event.dataTransfer.files;
  });
}

// -- a wallet in the browser (EIP-1193, EIP-4361) --

async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.detail || "the service refused");
  return said;
}

async function message(address) {
  const answer = await fetch("/sign-in/message", { method: "POST", body: new URLSearchParams({ address }) });
  if (!answer.ok) throw new Error("the service refused");
  return answer.text();
}

async function signIn(box) {
  const words = box.querySelector("[data-words]");
  try {
    const [address] = await window.ethereum.request({ method: "eth_requestAccounts" });
    const text = await message(address);
    box.querySelector("pre").textContent = text;
    box.querySelector("pre").hidden = false;
    const hex = `0x${Array.from(new TextEncoder().encode(text), (b) => b.toString(16).padStart(2, "0")).join("")}`;
    const signature = await window.ethereum.request({ method: "personal_sign", params: [hex, address] });
    await post("/v1/sign-in", { message: text, signature, cookie: true });
    location.assign(box.dataset.next);
  } catch (error) {
    words.textContent = error.message || "the wallet refused";
  }
}

document.querySelectorAll("[data-live]").forEach(follow);
document.querySelectorAll("[data-job]").forEach(watch);
document.querySelectorAll(".drop").forEach(take);
document.querySelectorAll("[data-wallet]").forEach((box) => {
  box.querySelector(window.ethereum ? "[data-with]" : "[data-without]").hidden = false;
  box.querySelector("button").addEventListener("click", () => signIn(box));
});
