// Every panel takes the place of its still picture, which paper keeps. What it needs is in its attribute.

const PANELS = {pictures: picturesPanel, digits: digitsPanel, cells: cellsPanel};
for (const figure of document.querySelectorAll('figure.live')) {
  const given = JSON.parse(figure.dataset.live), still = make('div', {className: 'still'});
  const caption = figure.querySelector('figcaption');
  still.append(...[...figure.childNodes].filter(node => node !== caption));
  const panel = make('div', {className: given.panel === 'cells' ? 'panel wide' : 'panel'});
  figure.prepend(panel, still);
  panel.append(...PANELS[given.panel](figure, given));
  figure.classList.add('running');
}
