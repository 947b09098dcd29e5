/** Whether a value is an http or https address that holds no credentials. */
export function isWebAddress(value: unknown): value is string {
  const url = typeof value === 'string' ? URL.parse(value) : null
  const isWeb = url?.protocol === 'https:' || url?.protocol === 'http:'
  return isWeb && url?.username === '' && url.password === ''
}
