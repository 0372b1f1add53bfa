// What every page has beside its HTML. Pages work without it.

// A form is sent once: a second press while the answer is on its way does nothing.
for (const form of document.querySelectorAll('form[method="post"]')) {
  form.addEventListener('submit', (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = 'yes';
    form.setAttribute('aria-busy', 'true');
  });
}

// Back in history shows forms as they were left: they can be sent again.
window.addEventListener('pageshow', () => {
  for (const form of document.querySelectorAll('form[data-sent]')) {
    delete form.dataset.sent;
    form.removeAttribute('aria-busy');
  }
});

// An address that is handed on is shown whole: the center does not know by which name its pages are reached, the browser does.
for (const link of document.querySelectorAll('a[data-whole]')) link.textContent = link.href;

// Menus close by Escape, and when something else is chosen.
const menus = () => document.querySelectorAll('details.menu[open]');
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  for (const menu of menus()) {
    const had = menu.contains(document.activeElement);
    menu.open = false;
    if (had) menu.querySelector('summary').focus();
  }
});
document.addEventListener('click', (event) => {
  for (const menu of menus()) if (!menu.contains(event.target)) menu.open = false;
});
