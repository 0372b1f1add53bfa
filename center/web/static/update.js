// The update page: a playbook's editor with line numbers and faults at their lines, and the confirmation as a dialog. Without this
// script CHECK, LOOK UP and SEND show the same on pages of their own.

const CHECK_AFTER_MS = 500;

/** Makes a text area an editor. */
function edit(area) {
  const form = area.form;
  const findings = form.querySelector('[data-findings]');
  const gutter = document.createElement('div');
  gutter.className = 'gutter code';
  gutter.setAttribute('aria-hidden', 'true');
  const frame = document.createElement('div');
  frame.className = 'editor';
  area.before(frame);
  frame.append(gutter, area);
  form.querySelector('[data-editor-help]').textContent =
    'Tab indents by two blanks; press Escape and then Tab to leave the field. The script is checked while you write.';

  let faults = new Map();
  let lines = 0;
  const number = () => {
    const count = area.value.split('\n').length;
    if (count === lines && !gutter.dataset.stale) return;
    lines = count;
    delete gutter.dataset.stale;
    const numbers = document.createDocumentFragment();
    for (let line = 1; line <= count; line += 1) {
      const mark = document.createElement('span');
      const fault = faults.get(line);
      mark.textContent = fault ? `${fault.severity === 'error' ? '✖' : '▲'} ${line}` : `${line}`;
      if (fault) {
        mark.className = fault.severity;
        mark.title = fault.message;
      }
      numbers.append(mark);
    }
    gutter.replaceChildren(numbers);
    scroll();
  };
  const scroll = () => { gutter.scrollTop = area.scrollTop; };

  const goTo = (line, column) => {
    const before = area.value.split('\n').slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
    const at = before + Math.max(column - 1, 0);
    area.focus();
    area.setSelectionRange(at, at);
    const height = parseFloat(getComputedStyle(area).lineHeight) || 20;
    area.scrollTop = Math.max(0, (line - 4) * height);
  };

  const show = ({ fit, findings: list }) => {
    faults = new Map();
    for (const one of list) if (one.line > 0 && !faults.has(one.line)) faults.set(one.line, one);
    gutter.dataset.stale = 'yes';
    number();
    area.setAttribute('aria-invalid', String(!fit));
    const note = document.createElement('div');
    note.className = `note ${list.length === 0 ? 'done' : fit ? 'warning' : 'error'}`;
    const head = document.createElement('p');
    const strong = document.createElement('strong');
    strong.textContent = list.length === 0 ? 'No faults found.' : fit ? 'Gateways may refuse:' : 'No gateway would run it:';
    head.append(strong, list.length === 0 ? ' Gateways will read this script.' : '');
    note.append(head);
    if (list.length > 0) {
      const items = document.createElement('ol');
      items.className = 'findings';
      for (const one of list) {
        const item = document.createElement('li');
        const tag = document.createElement('span');
        tag.className = 'tag';
        tag.textContent = one.severity;
        const text = `${one.message}${one.suggestion ? ` (${one.suggestion})` : ''}`;
        item.append(tag, ' ');
        if (one.line > 0) {
          const place = document.createElement('button');
          place.type = 'button';
          place.className = 'link place';
          place.textContent = `line ${one.line}${one.column > 0 ? `, column ${one.column}` : ''}`;
          place.addEventListener('click', () => goTo(one.line, one.column));
          item.append(place, ': ', text);
        } else {
          item.append(text);
        }
        items.append(item);
      }
      note.append(items);
    }
    findings.replaceChildren(note);
  };

  let asked = 0;
  const check = async () => {
    if (area.value.trim() === '') return;
    asked += 1;
    const mine = asked;
    try {
      const answer = await fetch('/api/v1/scripts/check', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': form.elements.csrf.value },
        body: JSON.stringify({ script: area.value.endsWith('\n') ? area.value : `${area.value}\n` }),
      });
      // A later question is the one that counts.
      if (!answer.ok || mine !== asked) return;
      show(await answer.json());
    } catch {
      // The center is out of reach: SEND will say so.
    }
  };
  let timer;
  area.addEventListener('input', () => {
    number();
    clearTimeout(timer);
    timer = setTimeout(check, CHECK_AFTER_MS);
  });
  area.addEventListener('scroll', scroll);

  let leaving = false;
  area.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') {
      leaving = true;
      return;
    }
    if (event.key === 'Tab' && !leaving && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      indent(area, event.shiftKey);
    }
    if (event.key !== 'Shift') leaving = false;
  });
  form.querySelector('[data-check]')?.addEventListener('click', (event) => {
    event.preventDefault();
    check();
  });
  number();
  check();
}

/** Moves the chosen lines two blanks to the right, or back; without a choice it puts two blanks in. */
function indent(area, back) {
  const { selectionStart: start, selectionEnd: end, value } = area;
  if (start === end && !back) {
    area.setRangeText('  ', start, end, 'end');
  } else {
    const from = value.lastIndexOf('\n', start - 1) + 1;
    const chosen = value.slice(from, end);
    const moved = back ? chosen.replace(/^ {1,2}/gm, '') : chosen.replace(/^(?=.)/gm, '  ');
    area.setRangeText(moved, from, end, 'select');
  }
  area.dispatchEvent(new Event('input', { bubbles: true }));
}

/** Shows the confirmation over the page. */
function confirmIn(form, dialog) {
  const close = () => {
    dialog.close();
    delete form.dataset.sent;
    form.removeAttribute('aria-busy');
  };
  form.addEventListener('submit', async (event) => {
    if (event.defaultPrevented || event.submitter?.hasAttribute('formaction')) return;
    event.preventDefault();
    // What the page itself would have done, when there is no confirmation to be shown.
    const plainly = () => HTMLFormElement.prototype.submit.call(form);
    try {
      const answer = await fetch(form.action, { method: 'POST', body: new URLSearchParams(new FormData(form)) });
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      const part = page.getElementById('confirm');
      if (!answer.ok || !part) return plainly();
      dialog.replaceChildren(document.importNode(part, true));
      dialog.querySelector('[data-back]').addEventListener('click', (pressed) => {
        pressed.preventDefault();
        close();
      });
      const send = dialog.querySelector('form');
      send.addEventListener('submit', (pressed) => {
        if (send.dataset.sent) pressed.preventDefault();
        send.dataset.sent = 'yes';
      });
      dialog.showModal();
      dialog.querySelector('#confirm-title').focus();
    } catch {
      plainly();
    }
  });
  dialog.addEventListener('close', close);
}

for (const area of document.querySelectorAll('textarea[data-editor]')) edit(area);
const form = document.querySelector('form[data-confirm]');
const dialog = document.getElementById('confirmation');
if (form && dialog && typeof dialog.showModal === 'function') confirmIn(form, dialog);
