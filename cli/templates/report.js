// The page is whole without this: it adds the filter, the search and the theme switch.
(() => {
  const root = document.documentElement;
  const theme = document.querySelector('button.theme');
  const dark = () => root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  const label = () => { theme.textContent = dark() ? 'Light theme' : 'Dark theme'; };
  theme.hidden = false; label();
  theme.addEventListener('click', () => { root.dataset.theme = dark() ? 'light' : 'dark'; label(); });
  const find = document.querySelector('.find');
  const keys = [...document.querySelectorAll('.keys button')];
  const articles = [...document.querySelectorAll('article')];
  const sections = [...document.querySelectorAll('section.chapter')];
  const result = document.querySelector('#filter-result');
  const show = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const states = keys.filter(k => k.getAttribute('aria-pressed') === 'true').map(k => k.dataset.state);
    let count = 0;
    for (const a of articles) {
      const text = a.dataset.text ??= a.textContent.toLowerCase();
      const fits = (!states.length || states.includes(a.dataset.state)) && words.every(w => text.includes(w));
      a.hidden = !fits; count += fits;
    }
    for (const s of sections) s.hidden = ![...s.querySelectorAll('article')].some(a => !a.hidden);
    result.textContent = words.length || states.length ? `${count} of ${articles.length} targets shown` : '';
  };
  find.hidden = false;
  find.addEventListener('input', show);
  for (const k of keys) k.addEventListener('click', () => {
    k.setAttribute('aria-pressed', k.getAttribute('aria-pressed') !== 'true'); show();
  });
})();
