"""The FastAPI service's own tests. Only what is above the first test differs."""

import pytest
from usher_testing import App, AsyncClient

app = App()


@pytest.fixture(scope="function", autouse=True)
def setup_test_db():
    """A new database for each test, in place of `app.dependency_overrides[get_db]`."""
    app.reset()


@pytest.mark.asyncio
async def test_create_user():
    async with AsyncClient(app=app, base_url="http://test") as client:
        response = await client.post("/users/", json={"name": "John Doe", "email": "john@example.com"})
        assert response.status_code == 200
        assert response.json()["name"] == "John Doe"

@pytest.mark.asyncio
async def test_get_user():
    async with AsyncClient(app=app, base_url="http://test") as client:
        # Create a user first
        response = await client.post("/users/", json={"name": "Alice", "email": "alice@example.com"})
        assert response.status_code == 200
        user_id = response.json()["id"]

        # Now, fetch the user
        response = await client.get(f"/users/{user_id}")
        assert response.status_code == 200
        assert response.json()["name"] == "Alice"

@pytest.mark.asyncio
async def test_get_user_not_found():
    async with AsyncClient(app=app, base_url="http://test") as client:
        response = await client.get("/users/999")
        assert response.status_code == 404
        assert response.json() == {"detail": "User not found"}
