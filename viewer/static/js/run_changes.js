// Changing a run from its page: stopping it, writing its notes. What has changed comes back by the live updates.
import { callApi } from "./api_client.js";
import { root } from "./addresses.js";
import { openDialog, showToast } from "./dialogs.js";

const SAID = {
  interrupt: "Asked to stop. The training is interrupted with its next sign of life.",
  kill: "Its process is ended 10 s after it was interrupted.",
};
const notes = document.getElementById("notes-dialog");
const text = notes.querySelector("textarea");
const preview = notes.querySelector("[data-notes-preview]");
const problem = notes.querySelector("[data-notes-problem]");
let written = ""; // the notes as they were when the dialog was opened

function pathOf(dialog) {
  return dialog.dataset.runPath.slice(root.length);
}

document.addEventListener("click", (event) => {
  if (!(event.target instanceof Element)) return;
  const stop = event.target.closest("[data-stop]");
  if (stop) void stopRun(stop);
  if (event.target.closest("[data-edit-notes]")) void openNotes();
  const show = event.target.closest("[data-notes-show]");
  if (show) void showNotes(show.dataset.notesShow);
});

async function stopRun(button) {
  const dialog = button.closest("dialog");
  const level = button.dataset.stop;
  button.disabled = true;
  try {
    const found = await callApi("POST", `${pathOf(dialog)}/stop`, { level });
    showToast(dialog.id === "cancel-dialog" ? "Cancelled." : found.status === "running" || found.status === "lost" ? SAID[level] : `It has ended: ${found.status}.`);
  } catch (error) {
    showToast(error.message, { kind: "failed" });
  } finally {
    button.disabled = false;
    dialog.close();
  }
}

async function openNotes() {
  problem.hidden = true;
  text.value = ""; // what was written the last time is not what is there now
  await showNotes("text");
  openDialog(notes.id);
  text.disabled = true;
  try {
    written = (await callApi("GET", pathOf(notes))).notes ?? "";
    text.value = written;
  } catch (error) {
    say(error.message);
  }
  text.disabled = false;
  text.focus();
}

async function showNotes(which) {
  for (const button of notes.querySelectorAll("[data-notes-show]")) button.setAttribute("aria-pressed", String(button.dataset.notesShow === which));
  if (which === "preview") {
    const headers = { "X-CSRF-Token": document.querySelector('meta[name="csrf-token"]')?.content ?? "" };
    const answer = await fetch(`${notes.dataset.runPath}/notes/preview`, { method: "POST", headers, body: new URLSearchParams({ notes: text.value }) });
    if (!answer.ok) return say("The viewer could not show a preview.");
    preview.innerHTML = await answer.text(); // our own server's, made of text and nothing else
  }
  preview.hidden = which !== "preview";
  text.hidden = which === "preview";
}

function say(words) {
  problem.textContent = words;
  problem.hidden = false;
}

notes.querySelector("[data-notes-form]").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter;
  if (button) button.disabled = true;
  try {
    await callApi("PATCH", pathOf(notes), { notes: text.value, expected: { notes: written } });
    notes.close();
    showToast("Notes saved");
  } catch (error) {
    say(error.status === 412 ? "Somebody else has changed the notes meanwhile. Copy yours, close this and look at theirs." : error.message);
  } finally {
    if (button) button.disabled = false;
  }
});
