// Tells the server in which zone its reader lives, so that every time on a page is written in it. A classic script in the
// head: on the first visit from another zone the page is loaded once more, before anything of it is seen.
(() => {
  const NAME = "cloister_zone";
  const YEAR_SECONDS = 365 * 24 * 3600;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone || !/^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/.test(zone)) return;

  const told = () => document.cookie.split("; ").find((each) => each.startsWith(`${NAME}=`))?.slice(NAME.length + 1);
  if (told() === zone) return;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${NAME}=${zone}; Path=/; Max-Age=${YEAR_SECONDS}; SameSite=Lax${secure}`;
  // Where no cookie is kept the page would be loaded for ever; a page that was loaded again is not loaded once more.
  const isPlainVisit = performance.getEntriesByType("navigation")[0]?.type === "navigate";
  const isOtherClock = Number(document.documentElement.dataset.zoneMinutes) !== -new Date().getTimezoneOffset();
  if (told() === zone && isOtherClock && isPlainVisit) location.reload();
})();
