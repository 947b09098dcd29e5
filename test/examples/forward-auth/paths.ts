import fc from '../../support/properties.ts'

/** The characters that RFC 3986 §3.3 allows in a segment, but for `;`. */
const plain = /^[\w.~!$&'()*+,:=@-]$/
/** The characters that may be encoded: printable, and neither unreserved nor a separator to anybody. */
const encodable = /^[ !"$&'()*+,:<=>@[\]^`{|}]$/

/**
 * Tells whether the path of a request target is normal, as docs/forward-auth.md#paths defines it: every
 * proxy forwards it then, and refuses it otherwise.
 */
export function isNormal(target: string): boolean {
  const [path = ''] = target.split('?')
  if (!path.startsWith('/')) return false
  const [last = '', ...before] = path.slice(1).split('/').reverse()
  return (last === '' || isNormalSegment(last)) && before.every(isNormalSegment)
}

function isNormalSegment(segment: string): boolean {
  if (segment === '' || /^\.+$/.test(segment) || segment.endsWith('%20')) return false
  const characters = segment.match(/%[0-9a-f]{2}|./gis) ?? []
  return characters.every((one) => {
    if (one.length === 1) return plain.test(one)
    return encodable.test(characterOf(one))
  })
}

/** The character that is encoded: `.` for `%2e`. */
export function characterOf(encoded: string): string {
  return String.fromCharCode(Number.parseInt(encoded.slice(1), 16))
}

const list = (text: string): string[] => text.trim().split(/\s+/)

/** Request targets that can be read in one way only, and the place that they lead to. */
export const normalTargets = {
  public: list('/public/ /public/prices /public/..x/.well-known/a...b /public/a%20b?/../reports'),
  guarded: list(`
    /secret /orders/7 /orders/7?a=%2f..%2f&b=/../public/ /users/a%40b.example/orders /publicity/orders
    /orders/O'Brien /orders/(a),b=$1:2&c~d!*+@ /orders/%5b%7B%7d%5D /public /PUBLIC/x /reports-old`),
  reports: list(`
    /reports /reports/7 /reports/ /reports?a /reports/.well-known/7
    /REPORTS/7 /Reports /rePORTs/ /reports. /reports./7 /reports.json /reports(7) /reports:export`),
} as const

/** Request targets that a proxy and a service may read differently. */
export const trickyTargets: readonly string[] = [
  // Dot segments, and what some decode to them.
  ...list(`
    /reports/../public/x /public/../reports/7 /public/./../secret /./reports/7 /public/../orders/7
    /public/x/../../reports/7 /x/../reports/7 /public/.. /public/%2e%2e/reports/7 /public/%2E./secret
    /public/.%2e/secret /%2e/reports/7 /reports/%2e%2e/public/x /public/.../secret
    /public/..%20/secret /public/..%00/secret /public/%252e%252e/secret /PUBLIC/../secret
    /public/%25%32%65%25%32%65/secret /public/%u002e%u002e/secret /public/%c0%ae%c0%ae/secret
    /public/%ef%bc%8e%ef%bc%8e/secret /public/%e0%80%ae./secret`),
  // Path parameters.
  ...list(`
    /public/..;/reports/7 /public/..;x=y/secret /reports;x/7 /reports%3bx/7 /;/reports/7
    /public;/../secret /public/%2e%2e%3b/secret /reports; /secret;/public/x`),
  // Slashes, and characters that some software reads as slashes.
  ...list(String.raw`
    //reports/7 /reports//7 /reports//../secret /public//../secret //public/../secret
    /users/..%2fpublic%2f7/orders /public%2fx/orders /public%2F..%2Fsecret /reports%2f7 /reports%2f
    /public/..%2freports/7 /public/%2e%2e%2freports/7 /public/..%252fsecret /%2freports/7
    /public/..%c0%afsecret /public/..%ef%bc%8fsecret /public/x%2f..%2f..%2fsecret
    /public/..\reports/7 /public\..\secret \reports\7 /\reports/7 /reports\7 /reports%5c7
    /public/%2e%2e%5creports/7 /public/..%5csecret /public/..%255csecret //other.test/reports/7`),
  // Encoded letters, and letters that look like others.
  ...list(`
    /%72eports/7 /%2572eports/7 /%70ublic/../secret /r%65ports /secre%74 /%52EPORTS/7
    /report%C5%BF/7 /%EF%BD%92eports/7 /reportÅ¿/7`),
  // Ends of a path.
  ...list(`
    /reports%20 /reports%20/7 /reports%00 /reports%00/7 /reports%0a /reports%09/7 /re%09ports/7
    /reports%3f /reports%3fx/7 /reports%23 /reports# /reports#/../public/ /#/reports
    /public/#/../../reports /public/%23/../secret /public%3f/../secret /reports%253f`),
  // Incomplete encoded characters.
  ...list('/public/% /public/%2 /public/%zz /reports/% /%/../reports /public/%2/../secret'),
  // Other forms of a request target (RFC 9112 §3.2).
  ...list(`
    http://127.0.0.1/reports/7 http://127.0.0.1/public/../secret HTTP://127.0.0.1/secret
    http://127.0.0.1?/public/ http://127.0.0.1?x=/reports/7 http://127.0.0.1:80/reports/7
    http://127.0.0.1 http://127.0.0.1#/reports/7 http://a@127.0.0.1/reports/7 http:/reports/7
    http:reports/7 ?/reports reports/7 * . public/x`),
]

const segments = list(`
  public PUBLIC reports Reports REPORTS secret orders users 7 x . .. ... %2e%2e .%2E ..; ..;a=b
  ..%20 ..%00 %252e%252e %c0%ae. %72eports repo%72ts %52EPORTS report%C5%BF reports. reports%20
  reports;x reports%3bx reports%00 reports%09 reports%3fx reports%23x reports.json a%20b a%40b (7)
  :export %5B %u002e % %2 .well-known ~ | ^`)
const separators = list(String.raw`
  / / / / // %2f %2F %252f \ %5c /./ /../ /x/../ %c0%af ; # %3f %23 %2f..%2f`)
const starts = list(String.raw`/ / / / / // \ http://127.0.0.1/ http://127.0.0.1?`)
const ends = ['', '', '', ...list('/ ?a=b ?/../public/ ; # %00 %20 . %3f')]

const separated = fc.tuple(fc.constantFrom(...separators), fc.constantFrom(...segments))

/** Request targets of odd segments between odd separators. */
export const oddTargets = fc
  .tuple(
    fc.constantFrom(...starts),
    fc.constantFrom('', ...segments),
    fc.array(separated, { maxLength: 3 }),
    fc.constantFrom(...ends),
  )
  .map(([start, first, rest, end]) => start + first + rest.flat().join('') + end)

const normalCharacters = fc.constantFrom(
  ..."abcRZ019-._~!$&'()*+,:=@",
  ...list('%20 %21 %22 %27 %2b %2C %3a %3C %40 %5b %5D %7c'),
)
const normalSegment = fc.string({ unit: normalCharacters, minLength: 1, maxLength: 8 })

/** Normal request targets. */
export const plainTargets = fc
  .tuple(
    fc.constantFrom('/', '/public/', '/reports/', '/users/'),
    fc.array(normalSegment, { minLength: 1, maxLength: 4 }),
    fc.constantFrom('', '/', '?a=/../b', '?'),
  )
  .map(([start, rest, end]) => start + rest.join('/') + end)
  .filter(isNormal)
