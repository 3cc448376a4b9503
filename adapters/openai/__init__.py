"""The formats of OpenAI's and Anthropic's endpoints, for every host that carries them."""
