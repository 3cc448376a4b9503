// Asks with the official JavaScript client. Jobs come as JSON on standard input, answers go as JSON to standard output.
import OpenAI from "openai";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { url, key, jobs } = JSON.parse(Buffer.concat(chunks).toString());
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const endpoints = {
  "/v1/chat/completions": (body) => client.chat.completions.create(body),
  "/v1/completions": (body) => client.completions.create(body),
  "/v1/responses": (body) => client.responses.create(body),
  "/v1/embeddings": (body) => client.embeddings.create(body),
};

const answers = [];
for (const { path, body } of jobs) {
  const answer = await endpoints[path](body);
  if (body.stream) {
    const events = [];
    for await (const event of answer) events.push(event);
    answers.push(events);
  } else {
    answers.push(answer);
  }
}
process.stdout.write(JSON.stringify(answers));
