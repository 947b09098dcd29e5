import fc from 'fast-check'

/**
 * Inputs may reach the maximum length that a property names. By default, fast-check creates lists of ten
 * elements at most.
 */
fc.configureGlobal({ defaultSizeToMaxWhenMaxSpecified: true })

/**
 * Any text of whole characters. `unit: 'binary'` of fast-check makes the same, but spends a second on a
 * table of all characters.
 */
export const anyText = fc.string({
  unit: fc
    .integer({ min: 0, max: 0x10_ffff })
    .filter((codePoint) => codePoint < 0xd800 || codePoint > 0xdfff)
    .map((codePoint) => String.fromCodePoint(codePoint)),
})

export default fc
