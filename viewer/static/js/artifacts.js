// The artifacts tab: an image that the browser cannot decode is said to be so.

const image = document.querySelector("[data-image]");

function showBroken() {
  image.parentElement.hidden = true;
  document.querySelector("[data-image-broken]").hidden = false;
}

if (image) {
  image.addEventListener("error", showBroken);
  if (image.complete && image.naturalWidth === 0) showBroken();
}
