// Users of the center with their roles, and what they could send although no page of theirs offers it.

const PASSWORD = 'a lantern at the harbour wall';

/** Makes a user who has chosen a password; gives what `world.loggedIn` takes. Each role is `[customer, role]`. */
export async function user(world, login, ...roles) {
  const order = { login, full_name: login, roles: roles.map(([customer, role]) => ({ customer, role })) };
  const made = await world.rest('POST', '/users', order);
  await world.rest('POST', '/session/set-up', { secret: made.set_up_path.split('/').pop(), password: PASSWORD });
  return { user: login, password: PASSWORD };
}

/** Chooses the password as one does who has got a set-up link, in a browser that nobody has used yet; gives the page after it. */
export async function setUp(world, link) {
  const page = await world.page();
  await page.goto(link);
  await page.getByLabel(/^Password/).fill(PASSWORD);
  await page.getByLabel('The same password again').fill(PASSWORD);
  await page.getByRole('button', { name: 'KEEP AND LOG IN' }).click();
  await page.waitForURL((url) => !url.pathname.startsWith('/set-up'));
  return page;
}

/** Sends a form with the visitor's own log-in and CSRF field, as if his page had it; gives the answer's status. */
export async function post(page, place, form = {}) {
  const csrf = await page.locator('input[name=csrf]').first().inputValue();
  const answer = await page.request.post(place, { form: { csrf, ...form }, maxRedirects: 0 });
  return answer.status();
}

/** The status of a page that is asked for by its address. */
export async function status(page, place) {
  return (await page.request.get(place, { maxRedirects: 0 })).status();
}
