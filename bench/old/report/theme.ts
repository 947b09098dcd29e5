/** The colours of a page and of a picture, for a light and for a dark background. */

const light = {
  page: '#ffffff',
  panel: '#f6f8fa',
  ink: '#1f2328',
  soft: '#59636e',
  line: '#d1d9e0',
  ours: '#0969da',
  other: '#6e7781',
  failed: '#cf222e',
  good: '#1a7f37',
  middle: '#0969da',
  high: '#8250df',
  retried: '#d4a72c',
  target: '#9a6700',
  band: '#0969da',
}

const dark: typeof light = {
  page: '#0d1117',
  panel: '#151b23',
  ink: '#e6edf3',
  soft: '#9198a1',
  line: '#3d444d',
  ours: '#4493f8',
  other: '#9198a1',
  failed: '#f85149',
  good: '#3fb950',
  middle: '#4493f8',
  high: '#ab7df8',
  retried: '#9e6a03',
  target: '#d29922',
  band: '#4493f8',
}

const font = 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif'

/** The same names in both, so that the rest of a style sheet knows one set only. */
export function colours(root: string): string {
  return `${root} { color-scheme: light dark; --font: ${font}; ${variables(light)} }
@media screen and (prefers-color-scheme: dark) { ${root} { ${variables(dark)} } }`
}

function variables(theme: typeof light): string {
  return Object.entries(theme)
    .map(([name, colour]) => `--${name}: ${colour};`)
    .join(' ')
}

/** How charts are drawn, in a page and in a picture alike. */
export const chartStyle = `
.chart text { font: 12px var(--font); fill: var(--ink); }
.chart .tick, .chart .band-label { fill: var(--soft); font-size: 11px; }
.chart .grid { stroke: var(--line); stroke-width: 1; }
.chart .band { fill: var(--band); }
.chart .mark { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 4; stroke-opacity: 0.75; }
.chart .event-dot { fill: var(--ink); }
.chart .line { fill: none; stroke-width: 1.75; stroke-linejoin: round; stroke: currentColor; }
.chart .area { fill: currentColor; fill-opacity: 0.16; stroke: none; }
.chart .bar { fill: currentColor; }
.chart .whisker { stroke: var(--ink); stroke-width: 1.25; }
.chart .limit { stroke: var(--target); stroke-width: 3; }
.chart .bar-value, .chart .event-label, .chart .name { paint-order: stroke; stroke: var(--page); stroke-width: 4px; }
.ours { color: var(--ours); } .other { color: var(--other); } .failed { color: var(--failed); }
.good { color: var(--good); } .middle { color: var(--middle); } .high { color: var(--high); }
.retried { color: var(--retried); } .target { color: var(--target); }
`
