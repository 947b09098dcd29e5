const units = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
] as const

/** A duration in its two largest units: `4 minutes 12 seconds`. */
export function spellDuration(duration_s: number): string {
  let rest_s = Math.round(Math.abs(duration_s))
  const words: string[] = []
  for (const [name, size_s] of units) {
    const count = Math.floor(rest_s / size_s)
    rest_s %= size_s
    if (count > 0) words.push(`${count} ${name}${count === 1 ? '' : 's'}`)
    else if (words.length > 0) break
    if (words.length === 2) break
  }
  return words.length === 0 ? 'less than a second' : words.join(' ')
}

/** How far an instant is from now: `3 minutes ago`, `in 2 hours`. */
export function spellDistance(instant_s: number, now_s: number): string {
  const duration = spellDuration(instant_s - now_s)
  return instant_s <= now_s ? `${duration} ago` : `in ${duration}`
}

/** An instant by the clock on the wall here, with the name of its zone. */
export function spellLocalTime(instant_s: number): string {
  const date = new Date(instant_s * 1000)
  if (Number.isNaN(date.getTime())) return `${instant_s} seconds after 1970, which no calendar has`
  return date.toLocaleString('sv-SE', { dateStyle: 'short', timeStyle: 'long' })
}

/** Both: `2026-11-24 20:36:00 CET, in 4 minutes 12 seconds`. */
export function spellInstant(instant_s: number, now_s: number): string {
  return `${spellLocalTime(instant_s)}, ${spellDistance(instant_s, now_s)}`
}
