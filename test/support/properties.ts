import fc from 'fast-check'

/**
 * A property says how long its inputs may become, and then they do. As fast-check is, a list "of at most
 * 200" has ten elements at most.
 */
fc.configureGlobal({ defaultSizeToMaxWhenMaxSpecified: true })

export default fc
