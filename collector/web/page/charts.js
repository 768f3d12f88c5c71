// The three charts of an instrument. Prices come as text; they become numbers here, for drawing and nothing else.

/* global LightweightCharts */

const UP_SHADE = "66";
const GAP_SHADE = "40";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const seconds = (iso) => Math.floor(Date.parse(iso) / 1000);

const look = () => ({
  layout: {
    background: { type: "solid", color: colour("sheet") },
    textColor: colour("quiet"),
    fontFamily: getComputedStyle(document.body).fontFamily,
    fontSize: 11,
    attributionLogo: false, // its style would need a hole in the content security policy: the footer says it in words
  },
  grid: { vertLines: { color: colour("raised") }, horzLines: { color: colour("raised") } },
  rightPriceScale: { borderColor: colour("line") },
  timeScale: { borderColor: colour("line") },
});

// How many digits a price has after its point, from the text of the smallest step or of prices.
export function digitsOf(texts) {
  return Math.min(12, Math.max(0, ...texts.filter(Boolean).map((text) => (text.split(".")[1] ?? "").length)));
}

const format = (digits) => ({ type: "price", precision: digits, minMove: 10 ** -digits });

class Chart {
  constructor(element, make, options) {
    this.element = element;
    this.chart = make(element, { autoSize: true, ...look() });
    this.chart.applyOptions(options);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.dress());
    this.fitted = "";
  }

  dress() {
    this.chart.applyOptions(look());
    this.colours();
  }

  // Shows all of it the first time that `what` is shown; after that the reader's own zoom stays.
  fit(what) {
    if (this.fitted === what) return;
    this.fitted = what;
    this.chart.timeScale().fitContent();
  }
}

export class Candles extends Chart {
  constructor(element) {
    super(element, LightweightCharts.createChart, { timeScale: { timeVisible: true, secondsVisible: false } });
    this.gaps = this.chart.addSeries(LightweightCharts.HistogramSeries, {
      priceScaleId: "gaps", priceLineVisible: false, lastValueVisible: false, base: 0,
      autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: 1 } }),
    });
    this.chart.priceScale("gaps").applyOptions({ scaleMargins: { top: 0, bottom: 0 }, visible: false });
    this.volume = this.chart.addSeries(LightweightCharts.HistogramSeries, {
      priceScaleId: "volume", priceLineVisible: false, lastValueVisible: false, priceFormat: { type: "volume" },
    });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 }, visible: false });
    this.candles = this.chart.addSeries(LightweightCharts.CandlestickSeries, {});
    this.chart.priceScale("right").applyOptions({ scaleMargins: { top: 0.06, bottom: 0.22 } });
    this.colours();
  }

  colours() {
    const [up, down] = [colour("up"), colour("down")];
    this.candles.applyOptions({
      upColor: up, downColor: down, borderUpColor: up, borderDownColor: down, wickUpColor: up, wickDownColor: down,
    });
    if (this.shown) this.show(...this.shown);
  }

  show(period, rows, gaps, digits) {
    this.shown = [period, rows, gaps, digits];
    const [up, down] = [colour("up"), colour("down")];
    const bars = [];
    for (const [time, open, high, low, close, volume] of rows) {
      const at = seconds(time);
      // A period without a candle keeps its place, so that a hole looks like one.
      for (let hole = bars.length ? bars.at(-1).time + period : at; hole < at && at - hole < period * 500; hole += period) {
        bars.push({ time: hole });
      }
      bars.push({ time: at, open: +open, high: +high, low: +low, close: +close, volume: +(volume ?? 0) });
    }
    this.candles.applyOptions({ priceFormat: format(digits) });
    this.candles.setData(bars.map(({ volume, ...bar }) => bar));
    this.volume.setData(bars.map((bar) => (bar.open === undefined ? { time: bar.time } : {
      time: bar.time, value: bar.volume, color: (bar.close >= bar.open ? up : down) + UP_SHADE,
    })));
    const spans = gaps.filter((gap) => gap.stream === "candles" || gap.stream === "trades").map((gap) => ({
      from: seconds(gap.from_time), to: gap.to_time ? seconds(gap.to_time) : Infinity, state: gap.state,
    }));
    const tone = { repaired: colour("repaired"), open: colour("missing"), unrecoverable: colour("lost") };
    this.gaps.setData(bars.map(({ time }) => {
      const hit = spans.filter((one) => one.from < time + period && one.to >= time);
      const worst = ["unrecoverable", "open", "repaired"].find((state) => hit.some((one) => one.state === state));
      return worst ? { time, value: 1, color: tone[worst] + GAP_SHADE } : { time };
    }));
    this.fit(`${period}`);
  }
}

export class Spread extends Chart {
  constructor(element) {
    super(element, LightweightCharts.createChart, { timeScale: { timeVisible: true, secondsVisible: true } });
    this.widest = this.chart.addSeries(LightweightCharts.LineSeries, {
      lineWidth: 1, priceLineVisible: false, lastValueVisible: false, lineType: 1, crosshairMarkerVisible: false,
    });
    this.spread = this.chart.addSeries(LightweightCharts.LineSeries, { lineWidth: 2, priceLineVisible: false, lineType: 1 });
    this.colours();
  }

  colours() {
    this.spread.applyOptions({ color: colour("link") });
    this.widest.applyOptions({ color: colour("quiet") });
  }

  show(what, rows, digits) {
    for (const [series, column] of [[this.widest, 4], [this.spread, 3]]) {
      series.applyOptions({ priceFormat: format(digits) });
      series.setData(rows.map((row) => ({ time: seconds(row[0]), value: +row[column] })));
    }
    this.fit(what);
  }
}

export class Depth extends Chart {
  constructor(element) {
    super(element, LightweightCharts.createOptionsChart, {});
    const options = {
      lineWidth: 2, lineType: 1, priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false,
      priceFormat: { type: "volume" },
      autoscaleInfoProvider: (own) => {
        const range = own();
        return range && { priceRange: { minValue: 0, maxValue: range.priceRange.maxValue } };
      },
    };
    this.bids = this.chart.addSeries(LightweightCharts.AreaSeries, options);
    this.asks = this.chart.addSeries(LightweightCharts.AreaSeries, options);
    this.chart.priceScale("right").applyOptions({ scaleMargins: { top: 0.08, bottom: 0 } });
    this.colours();
  }

  colours() {
    for (const [series, name] of [[this.bids, "up"], [this.asks, "down"]]) {
      series.applyOptions({ lineColor: colour(name), topColor: `${colour(name)}55`, bottomColor: `${colour(name)}11` });
    }
  }

  // What one could sell down to a price, and buy up to one.
  show(bids, asks, digits) {
    const summed = (levels) => {
      let sum = 0;
      return levels.map(([price, size]) => ({ time: +price, value: (sum += +size) }));
    };
    this.chart.applyOptions({ localization: { precision: digits } });
    this.bids.setData(summed(bids).reverse());
    this.asks.setData(summed(asks));
    this.chart.timeScale().fitContent();
  }
}
