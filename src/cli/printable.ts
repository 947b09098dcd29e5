/** What could steer a terminal, or turn its text around. */
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** A text from elsewhere, as one line that does nothing but be read. In JSON, JSON with the same value. */
export function oneLine(text: string): string {
  return text.toWellFormed().replaceAll(unsafe, escaped)
}

function escaped(character: string): string {
  const codes = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at))
  return codes.map((code) => `\\u${code.toString(16).padStart(4, '0')}`).join('')
}
