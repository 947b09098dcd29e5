import { readFileSync } from 'node:fs'

/** Returns the misspelled words of a text, each once. */
export type SpellCheck = (text: string) => string[]

/** Words of this project: names, terms and abbreviations, one a line. */
const projectWords = new URL('dictionary.txt', import.meta.url)

/**
 * Loads the English dictionary, with the words of this project.
 *
 * @returns null if the dictionary is not installed, as in a checkout that needs `npm ci`
 */
export async function loadSpellCheck(): Promise<SpellCheck | null> {
  const packages = await Promise.all([import('nspell'), import('dictionary-en')]).catch(() => null)
  if (packages === null) return null
  const [{ default: nspell }, { default: english }] = packages
  const dictionary = nspell({ aff: Buffer.from(english.aff), dic: Buffer.from(english.dic) })
  const own = readFileSync(projectWords, 'utf8').split('\n')
  const known = new Map(own.map((word) => [word.toLowerCase(), true]))
  const isKnown = (word: string): boolean => {
    const lower = word.toLowerCase()
    const answer = known.get(lower) ?? (dictionary.correct(word) || dictionary.correct(lower))
    known.set(lower, answer)
    return answer
  }
  return (text) => [...new Set(wordsToSpell(text))].filter((word) => !isKnown(word))
}

/** The words of a text that a dictionary can know: no names of code, no abbreviations, no paths. */
function wordsToSpell(text: string): string[] {
  return text
    .split(/[\s—–…/]+/)
    .map((word) => word.replace(/^[^\p{L}]+|[^\p{L}]+$/gu, '').replace(/['’]s?$/, ''))
    .flatMap((word) => (/[^\p{L}'’-]/u.test(word) ? [] : word.split('-')))
    .filter((word) => word.length > 2 && !/\p{L}\p{Lu}/u.test(word))
}
