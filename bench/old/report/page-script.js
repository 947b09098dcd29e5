// Without it the page lacks only the button that saves the figures.
const figures = document.getElementById('figures')
const save = document.getElementById('save')
save.hidden = false
save.addEventListener('click', () => {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([figures.textContent], { type: 'application/json' }))
  link.download = figures.dataset.name
  link.click()
  URL.revokeObjectURL(link.href)
})
