/**
 * What the User-Agent of almost every browser says, with a letter for each. They never change, so
 * that rows that are stored can be read: further ones may be added.
 */
const common: readonly (readonly [letter: string, text: string])[] = [
  ['M', 'Mozilla/5.0 ('],
  ['K', ') AppleWebKit/537.36 (KHTML, like Gecko) Chrome/'],
  ['W', ' (KHTML, like Gecko) Version/'],
  ['S', ' Safari/537.36'],
]

/** It stands before a letter; and before itself. JSON leaves it as it is. */
const mark = '\x7f'

const textOf = new Map([[mark, mark], ...common])

/** Makes the User-Agent of a browser half as long. Any other text stays about as it is. */
export function abridge(text: string): string {
  return common.reduce(
    (shorter, [letter, long]) => shorter.replace(long, mark + letter),
    text.replaceAll(mark, mark + mark),
  )
}

/** The text that `abridge` was given. */
export function unabridge(text: string): string {
  if (!text.includes(mark)) return text
  return text.replaceAll(/\x7f(.)/gsu, (whole, letter) => textOf.get(letter) ?? whole)
}
