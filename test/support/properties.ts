import fc from 'fast-check'

/**
 * Inputs may reach the maximum length that a property names. By default, fast-check creates lists of ten
 * elements at most.
 */
fc.configureGlobal({ defaultSizeToMaxWhenMaxSpecified: true })

export default fc
