const all = (selector, within = document) => [...within.querySelectorAll(selector)];

const said = document.getElementById('said');
for (const button of all('.copy')) button.addEventListener('click', async () => {
  await navigator.clipboard.writeText(button.closest('.listing').querySelector('pre').innerText);
  said.textContent = button.textContent = 'Copied';
  setTimeout(() => { button.textContent = 'Copy'; said.textContent = ''; }, 2000);
});

// What is folded opens where a link leads into it.
const unfold = () => {
  for (let place = document.querySelector(':target'); place; place = place.parentElement)
    if (place.localName === 'details') place.open = true;
};
addEventListener('hashchange', unfold);
addEventListener('load', unfold);

// What a reference names: a figure, a table or a claim; and a copy of it without names.
const named = id => {
  const anchor = document.getElementById(id);
  return anchor && anchor.localName === 'span' ? anchor.nextElementSibling : anchor;
};
const copied = id => {
  const copy = named(id).cloneNode(true);
  for (const part of [copy, ...all('[id]', copy)]) part.removeAttribute('id');
  return copy;
};
for (const place of all('[data-shows]')) place.append(copied(place.dataset.shows));

// Animations move by their frames, so that the slider says where they are and a pause stops there.
for (const figure of all('figure.animated:has(.strip)')) {
  const slider = figure.querySelector('input[type=range]'), wait = +figure.querySelector('.strip').dataset.milliseconds;
  const show = frame => { slider.value = frame; slider.dispatchEvent(new Event('input')); };
  const move = () => {
    const box = figure.getBoundingClientRect(), last = +slider.value >= +slider.max;
    if (!figure.classList.contains('paused') && box.bottom > 0 && box.top < innerHeight) show(last ? 0 : +slider.value + 1);
    setTimeout(move, slider.value === slider.max ? 1500 : wait);
  };
  figure.classList.add('driven');
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) figure.querySelector('.pause').click();
  else show(0);
  setTimeout(move, wait);
}

// What is cut at its right edge fades there, and a chart or a table says that it can be moved.
const CUT = '.scroll, .table, .formula, .listing pre';
const goesOn = box => {
  box.classList.toggle('wide', box.scrollWidth > box.clientWidth + 1);
  box.classList.toggle('more', box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
};

// Cells of one size wrap into rows of as many; what scrolls sideways is reached by keyboard.
const arrange = () => {
  for (const gallery of all('.gallery')) {
    gallery.style.maxWidth = '';
    const widths = [...gallery.children].map(cell => cell.offsetWidth), cell = Math.max(...widths) + 10;
    if (cell - 12 > Math.min(...widths)) continue;
    const rows = Math.ceil(widths.length / Math.max(1, Math.floor((gallery.clientWidth + 10) / cell)));
    gallery.style.maxWidth = `${Math.ceil(widths.length / rows) * cell}px`;
  }
  for (const box of all('.scroll, .inline-formula')) box.toggleAttribute('tabindex', false);
  for (const formula of all('.inline-formula')) formula.classList.remove('scroll');
  for (const formula of all('.inline-formula')) {
    const room = formula.parentElement.closest('p, li, dd, td, figcaption, caption, h1, h2, h3, div').clientWidth;
    if (room && formula.getBoundingClientRect().width > room) formula.classList.add('scroll');
  }
  for (const box of all('.scroll')) if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  all(CUT).forEach(goesOn);
};

document.addEventListener('scroll', event => {
  if (event.target.matches?.(CUT)) goesOn(event.target);
}, true);
document.addEventListener('toggle', arrange, true);  // what was folded has had no width
addEventListener('resize', arrange);
addEventListener('load', arrange);
arrange();

// Terms say what they mean, references show what they name, without a step away from the text.
const preview = document.body.appendChild(document.createElement('div'));
Object.assign(preview, { id: 'preview', hidden: true });
const inside = preview.appendChild(document.createElement('div'));
inside.inert = true;  // of a copy nothing is reached by keyboard
let shownFor = null, waiting, touched = false;
const close = () => {
  clearTimeout(waiting);
  if (shownFor) shownFor.removeAttribute('aria-describedby');
  shownFor = null;
  preview.hidden = true;
};
const open = asked => {
  clearTimeout(waiting);
  if (asked === shownFor) return;
  close();
  inside.replaceChildren(asked.dataset.says || copied(asked.hash.slice(1)));
  preview.hidden = false;
  shownFor = asked;
  if (asked.dataset.says) asked.setAttribute('aria-describedby', 'preview');
  const at = asked.getBoundingClientRect(), room = document.documentElement.clientWidth - preview.offsetWidth - 8;
  const above = at.bottom + preview.offsetHeight + 6 > innerHeight && at.top > preview.offsetHeight + 6;
  preview.style.left = `${scrollX + Math.max(8, Math.min(at.left, room))}px`;
  preview.style.top = `${scrollY + (above ? at.top - preview.offsetHeight - 6 : at.bottom + 6)}px`;
};
const soon = (what, milliseconds, ...asked) => { clearTimeout(waiting); waiting = setTimeout(what, milliseconds, ...asked); };
for (const term of all('.term, .value')) {
  term.dataset.says = term.title;
  term.removeAttribute('title');
}
const references = all('main a[href^="#"]').filter(link => /^#(figure|table|claim)-/.test(link.hash) && named(link.hash.slice(1)));
for (const asked of [...all('.term, .value'), ...references]) {
  asked.addEventListener('pointerenter', event => { if (event.pointerType !== 'touch') soon(open, 150, asked); });
  asked.addEventListener('pointerleave', event => { if (event.pointerType !== 'touch') soon(close, 250); });
  asked.addEventListener('focus', () => { if (asked.matches(':focus-visible')) open(asked); });
  asked.addEventListener('blur', close);
  asked.addEventListener('click', event => {
    if (asked.matches('.term')) open(asked);
    else if (touched && asked !== shownFor) { event.preventDefault(); open(asked); }  // a second touch follows
    else close();
  });
}
preview.addEventListener('pointerenter', () => clearTimeout(waiting));
preview.addEventListener('pointerleave', () => soon(close, 250));
addEventListener('pointerdown', event => {
  touched = event.pointerType === 'touch';
  if (shownFor && !shownFor.contains(event.target) && !preview.contains(event.target)) close();
});
addEventListener('keydown', event => {
  if (event.key === 'Escape') close();
  if (event.target.matches('.term') && ['Enter', ' '].includes(event.key)) { event.preventDefault(); open(event.target); }
});
