// Pages that follow what happens: each word of the center makes the page ask for itself again, and what differs is put in its place.
// Without this script the page asks again by itself.

const root = document.querySelector('[data-live]');
const POLL_MS = 5000;

let busy = false;
let again = false;

/** Makes `old` what `fresh` is, element by element, so that focus, open details and places of scrolling stay. */
function become(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || (old.id ?? '') !== (fresh.id ?? '')) {
    old.replaceWith(fresh.cloneNode(true));
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) return;
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== 'open') old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const children = [...fresh.childNodes];
  while (old.childNodes.length > children.length) old.lastChild.remove();
  children.forEach((child, index) => {
    const place = old.childNodes[index];
    if (place) become(place, child);
    else old.append(child.cloneNode(true));
  });
}

async function refresh() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    const response = await fetch(location.href, { headers: { accept: 'text/html' } });
    if (response.ok && !response.redirected) {
      const page = new DOMParser().parseFromString(await response.text(), 'text/html');
      const fresh = page.querySelector('[data-live]');
      if (fresh) become(root, fresh);
    }
  } catch {
    // The center is away for a moment: it is asked again.
  } finally {
    busy = false;
    if (again) {
      again = false;
      await refresh();
    }
  }
}

function follow() {
  const source = new EventSource(root.dataset.live);
  source.addEventListener('changed', refresh);
  source.addEventListener('ended', async () => {
    source.close();
    await refresh();
  });
  source.addEventListener('error', () => {
    // The browser tries again by itself, but not where the center has refused, for want of streams say.
    if (source.readyState === EventSource.CLOSED) poll();
  });
}

function poll() {
  const timer = setInterval(async () => {
    await refresh();
    if (root.dataset.ended) clearInterval(timer);
  }, POLL_MS);
}

if (root && !root.dataset.ended) follow();
