// For both versions of orval: DESCRIPTION, OUTPUT and BASE_URL come from `run`.
module.exports = {
  usher: {
    input: { target: process.env.DESCRIPTION },
    output: {
      target: process.env.OUTPUT,
      client: 'fetch',
      baseUrl: process.env.BASE_URL,
      headers: true,
    },
  },
};
