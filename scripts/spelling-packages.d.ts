declare module 'nspell' {
  interface SpellChecker {
    correct(word: string): boolean
  }
  export default function nspell(dictionary: { aff: Buffer; dic: Buffer }): SpellChecker
}

declare module 'dictionary-en' {
  const english: { readonly aff: Uint8Array; readonly dic: Uint8Array }
  export default english
}
