/** Texts and their replacements in the test. */
export type Replacements = Readonly<Record<string, string>>

/** Replaces texts everywhere. A replacement stays as it is, even if it contains another text. */
export function replaceTexts(text: string, replacements: Replacements): string {
  const [first, ...others] = Object.entries(replacements)
  if (first === undefined) return text
  const [from, to] = first
  const between = Object.fromEntries(others)
  return text
    .split(from)
    .map((part) => replaceTexts(part, between))
    .join(to)
}
