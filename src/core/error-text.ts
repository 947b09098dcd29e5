interface SystemError extends Error {
  readonly code?: string
  /** The error of each address of one host. The whole has no message of its own. */
  readonly errors?: readonly Error[]
}

function textOf({ message, code, errors = [] }: SystemError): string {
  const text = message || errors.map(reasonOf).join(', ') || code || 'no reason is known'
  return text.trim()
}

/** Returns the message of an error without a full stop. */
export function reasonOf(error: Error): string {
  return textOf(error).replace(/\.$/, '')
}

/** Returns the messages of an error and its causes: the reason of `fetch failed` is its cause. */
export function messagesOf(error: Error): string {
  const { cause } = error
  return cause instanceof Error ? `${reasonOf(error)}: ${messagesOf(cause)}` : textOf(error)
}
