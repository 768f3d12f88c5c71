// The texts of a page whose contrast with what is below them is under 4.5, as the WCAG defines it.
() => {
  const CHANNELS = ["r", "g", "b"];
  const WEIGHTS = [0.2126, 0.7152, 0.0722];

  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const over = (top, below) => Object.fromEntries(
    CHANNELS.map((name) => [name, top[name] * top.a + below[name] * (1 - top.a)]));
  const light = (colour) => CHANNELS.reduce((sum, name, index) => {
    const value = colour[name] / 255;
    return sum + WEIGHTS[index] * (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  }, 0);
  const ground = (element) => {
    if (!element) return { r: 255, g: 255, b: 255, a: 1 };
    const own = parse(getComputedStyle(element).backgroundColor);
    return own.a === 1 ? own : { ...over(own, ground(element.parentElement)), a: 1 };
  };

  const poor = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.data.trim();
    const element = walk.currentNode.parentElement;
    if (!text || !element.checkVisibility() || element.closest(".chart, noscript")) continue;
    const below = ground(element);
    const [one, two] = [light(over(parse(getComputedStyle(element).color), below)), light(below)];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) poor.push(`${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}
