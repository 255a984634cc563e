// Asks for the page again when the daemon says that something changed, and puts in what differs. Without
// this script the page is whole, and reloads itself.
'use strict';

const events = document.body.dataset.events;
const stream = document.getElementById('stream');
let source = null;
const shown = new Map();
let fetching = false;
let again = false;

function say(text) {
  if (stream) {
    stream.hidden = false;
    stream.textContent = text;
  }
}

// What the reader has in hand is left alone: a focus inside, a selection, or a part that was opened.
function inHand(element) {
  const selection = getSelection();
  return element.contains(document.activeElement) || element.querySelector('details[open]') !== null
    || (!selection.isCollapsed && element.contains(selection.anchorNode));
}

async function refresh() {
  if (fetching) {
    again = true;
    return;
  }
  fetching = true;
  try {
    const answer = await fetch(location.href, { headers: { 'x-script': '1' } });
    if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
      document.title = fresh.title;
      for (const old of document.querySelectorAll('[data-live]')) {
        const made = fresh.getElementById(old.id);
        const html = made?.innerHTML;
        if (made && html !== shown.get(old.id) && !inHand(old)) {
          shown.set(old.id, html);
          old.replaceChildren(...made.childNodes);
          local(old);
        }
      }
      say('live · ' + new Date().toLocaleTimeString());
    }
  } catch {
    say('not live: the daemon does not answer');
  }
  fetching = false;
  if (again) {
    again = false;
    refresh();
  }
}

// Times of day in the reader's zone, and ages that go on.
function local(within) {
  for (const time of within.querySelectorAll('time.moment')) {
    const at = new Date(time.dateTime);
    const today = at.toDateString() === new Date().toDateString();
    time.textContent = today ? at.toLocaleTimeString() : at.toLocaleString();
  }
}

function span(seconds) {
  if (seconds < 120) return Math.floor(seconds) + ' s';
  if (seconds < 7200) return Math.floor(seconds / 60) + ' min';
  return seconds < 172800 ? Math.floor(seconds / 3600) + ' h' : Math.floor(seconds / 86400) + ' d';
}

function tick() {
  if (document.hidden) return;
  for (const time of document.querySelectorAll('time.age')) {
    const seconds = (Date.now() - new Date(time.dateTime)) / 1000;
    if (seconds >= 10) time.textContent = span(seconds);
  }
}

// A browser has few connections to a host: a tab that is not seen gives its own back.
function follow() {
  if (document.hidden || !events) {
    source?.close();
    source = null;
  } else if (!source) {
    source = new EventSource(events);
    source.addEventListener('changed', refresh);
    source.addEventListener('error', () => say('not live: the connection is lost'));
  }
}

for (const part of document.querySelectorAll('[data-live]')) shown.set(part.id, part.innerHTML);
local(document);
setInterval(tick, 1000);
document.addEventListener('visibilitychange', follow);
addEventListener('pagehide', () => { source?.close(); source = null; });
addEventListener('pageshow', follow);
follow();
